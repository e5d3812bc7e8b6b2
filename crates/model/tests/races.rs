//! One test a race; see `foundation_model` for which code is the real one here and which is a stand-in.

macro_rules! races {
    ($($race:ident),+ $(,)?) => {
        $(#[test] fn $race() { foundation_model::scenarios::$race(); })+
    };
}

races![
    a_wait_against_a_registration,
    a_claim_against_the_end_of_a_name_guard,
    a_publication_against_a_close,
    a_wait_for_the_close_against_the_close,
    a_replacement_against_the_reaping,
    a_claim_against_a_claim,
    an_unregistration_against_the_end_of_a_name_guard,
    a_lookup_against_a_replacement,
    a_lookup_against_a_hand_over,
    a_hand_over_against_the_end_of_a_name_guard,
    a_registration_against_a_death,
    a_watch_against_a_registration,
    a_look_at_a_watch_against_a_registration,
    a_watched_registration_against_its_end,
    a_watch_against_a_death,
    a_watch_against_a_death_that_another_watches,
    two_watches_against_a_death,
    a_watch_against_a_life,
    two_waits_against_a_notification,
    a_lock_that_is_given_up_against_its_return,
    a_join_against_a_death,
    a_join_against_the_loss_of_all_else,
    a_join_against_a_close,
    a_join_against_the_last_leaving,
    two_workers_against_two_jobs,
    two_jobs_against_a_worker_that_falls_asleep,
    a_worker_that_goes_away_against_a_job,
    a_job_against_a_close,
    a_claim_that_is_dropped_against_a_close,
    two_senders_against_a_claim,
    a_drain_against_the_last_job,
    a_pause_against_a_job,
    an_inbox_against_a_thief_and_a_retirement,
    a_pinned_inbox_against_a_retirement,
    an_inbox_against_a_change_of_the_routing,
    a_timer_against_a_job_for_later,
];
