//! The facts in a log that need no knowledge of a supervisor: the time of each life, the life of a supervisor that each
//! report belongs to, and the requested starts.

use std::collections::{BTreeMap, HashMap};

use super::record::{Actor, Answer, Doing, Entry, Fact, Life, Moment, Record, Reported};
use super::script::{Op, Verb};
use super::shape::{Shape, Who};

/// A position in the log.
pub(super) type At = usize;

/// The positions of the moments of one life.
#[derive(Debug, Default)]
pub(super) struct Span {
    pub(super) moments: Vec<(Moment, At)>,
    pub(super) actor: Option<Actor>,
    /// The life of its supervisor in which it began.
    pub(super) epoch: u32,
    /// The first fault from the script.
    pub(super) struck: Option<At>,
}

impl Span {
    pub(super) fn at(&self, moment: Moment) -> Option<At> {
        self.moments.iter().find(|(came, _)| *came == moment).map(|(_, at)| *at)
    }

    pub(super) fn built(&self) -> At {
        self.at(Moment::Built).unwrap_or(At::MAX)
    }

    /// The position at which handler and state are both dropped; never, if one is not.
    pub(super) fn gone(&self) -> At {
        let state = match self.at(Moment::Up) {
            Some(_) => self.at(Moment::StateDropped).unwrap_or(At::MAX),
            None => 0,
        };
        self.at(Moment::Dropped).unwrap_or(At::MAX).max(state)
    }

    /// The position at which its end begins: its `post_stop`, or, without one, its first destructor.
    pub(super) fn end_begins(&self) -> At {
        let ends = [Moment::Stopping, Moment::StateDropped, Moment::Dropped];
        ends.iter().filter_map(|moment| self.at(*moment)).min().unwrap_or(At::MAX)
    }

    pub(super) fn is_alive(&self, at: At) -> bool {
        self.built() <= at && at < self.gone()
    }

    /// The same without the state of a killed actor: ractor sends that along with the exit event, and a
    /// supervisor that is stopping reads no events any more, so this state is dropped with the supervisor.
    pub(super) fn is_active(&self, at: At) -> bool {
        let left = match self.at(Moment::Down) {
            Some(_) => self.gone(),
            None => self.at(Moment::Dropped).unwrap_or(At::MAX),
        };
        self.built() <= at && at < left
    }
}

/// A supervisor's report.
#[derive(Debug)]
pub(super) struct Line<'a> {
    pub(super) index: At,
    pub(super) at: u64,
    pub(super) child: Who,
    pub(super) reported: &'a Reported,
    /// It reports the outcome of a request.
    pub(super) requested: bool,
}

/// The beginning of a start: a life was built, or the start function of a child supervisor was called.
#[derive(Debug, Clone, Copy)]
pub(super) struct Begin {
    pub(super) index: At,
    pub(super) at: u64,
    pub(super) child: Who,
    /// It was requested, or may have been.
    pub(super) requested: bool,
}

/// One life of a supervisor, as its reports and the starts of its children show it.
#[derive(Debug, Default)]
pub(super) struct Reign<'a> {
    /// The position at which the life before it ended.
    pub(super) since: At,
    pub(super) lines: Vec<Line<'a>>,
    pub(super) begins: Vec<Begin>,
}

#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) verb: Verb,
    pub(super) who: Who,
    pub(super) asked: At,
    /// `At::MAX` and `None` if it was never answered.
    pub(super) answered: At,
    pub(super) answer: Option<&'a Answer>,
}

/// Children, with their states as their supervisor reports them.
type Children<'a> = &'a [(Who, Doing)];

pub(super) struct History<'a> {
    pub(super) shape: &'a Shape,
    pub(super) record: &'a Record,
    pub(super) lives: BTreeMap<Life, Span>,
    pub(super) actors: HashMap<Actor, Life>,
    pub(super) reigns: BTreeMap<(Who, u32), Reign<'a>>,
    pub(super) requests: Vec<Request<'a>>,
    pub(super) rest: Option<At>,
    pub(super) listed: Vec<(At, Who, Children<'a>)>,
    pub(super) ending: At,
    pub(super) over: Option<At>,
}

impl<'a> History<'a> {
    pub(super) fn of(shape: &'a Shape, record: &'a Record) -> Self {
        let (lives, actors, reigns, requests) = Default::default();
        let (rest, listed, ending, over) = (None, Vec::new(), record.log.len(), None);
        let mut this = Self { shape, record, lives, actors, reigns, requests, rest, listed, ending, over };
        this.read_requests();
        this.read_lives();
        this.mark_requested();
        this
    }

    fn read_requests(&mut self) {
        for (index, Entry { fact, .. }) in self.record.log.iter().enumerate() {
            match fact {
                Fact::Asked(_, verb, who) => {
                    let (verb, who) = (*verb, *who);
                    self.requests.push(Request { verb, who, asked: index, answered: At::MAX, answer: None });
                }
                Fact::Answered(number, answer) => {
                    let request = &mut self.requests[number - 1];
                    (request.answered, request.answer) = (index, Some(answer));
                }
                _ => {}
            }
        }
    }

    fn read_lives(&mut self) {
        let mut epochs = vec![0; self.shape.members.len()];
        // The life of its supervisor in which an actor began: a dying one may report late.
        let mut born: HashMap<Actor, u32> = HashMap::new();
        for (index, Entry { at, fact }) in self.record.log.iter().enumerate() {
            match fact {
                Fact::Came(life, moment, _) => {
                    let parent = self.shape.members[life.who].parent;
                    let span = self.lives.entry(*life).or_default();
                    span.moments.push((*moment, index));
                    if *moment == Moment::Built
                        && let Some(parent) = parent.filter(|_| !life.rival)
                    {
                        span.epoch = epochs[parent];
                        self.begin(parent, epochs[parent], index, *at, life.who);
                    }
                }
                Fact::Called(who) if !self.shape.is_worker(*who) => {
                    if let Some(parent) = self.shape.members[*who].parent {
                        self.begin(parent, epochs[parent], index, *at, *who);
                    }
                }
                Fact::Is(life, actor) => {
                    self.actors.insert(*actor, *life);
                    let epoch = self.lives.get(life).map_or(0, |span| span.epoch);
                    born.insert(*actor, epoch);
                    self.lives.entry(*life).or_default().actor = Some(*actor);
                }
                Fact::Struck(op, Some(life)) if !matches!(op, Op::Hang(_)) => {
                    self.lives.entry(*life).or_default().struck.get_or_insert(index);
                }
                Fact::Reported(by, child, reported) => {
                    if let Some(by) = by {
                        let line = Line { index, at: *at, child: *child, reported, requested: false };
                        let epoch = match reported {
                            Reported::Started(actor) => *born.entry(*actor).or_insert(epochs[*by]),
                            Reported::Exited(actor, _) | Reported::Stopped(actor, _) => {
                                born.get(actor).copied().unwrap_or(epochs[*by])
                            }
                            _ => epochs[*by],
                        };
                        self.reigns.entry((*by, epoch)).or_default().lines.push(line);
                    }
                    if matches!(reported, Reported::Exited(..) | Reported::Stopped(..) | Reported::StartFailed(_)) {
                        // Its next reports, and those of the supervisors below it, come from other actors.
                        for who in self.shape.all().filter(|who| self.shape.is_within(*who, *child)) {
                            epochs[who] += 1;
                            self.reigns.entry((who, epochs[who])).or_default().since = index;
                        }
                    }
                }
                Fact::AtRest => self.rest = Some(index),
                Fact::Listed(who, children) => self.listed.push((index, *who, children)),
                Fact::Ending => self.ending = index,
                Fact::Over => self.over = Some(index),
                _ => {}
            }
        }
    }

    fn begin(&mut self, parent: Who, epoch: u32, index: At, at: u64, child: Who) {
        let requested = self.is_asked(child, &[Verb::Start, Verb::Restart], index);
        self.reigns.entry((parent, epoch)).or_default().begins.push(Begin { index, at, child, requested });
    }

    /// The report that a request's answer repeats is the last one of its kind before the answer.
    fn mark_requested(&mut self) {
        for request in &self.requests {
            let Some(answer) = request.answer else { continue };
            let parent = self.shape.members[request.who].parent.unwrap_or_default();
            let tells = |line: &&mut Line<'_>| {
                let window = request.asked < line.index && line.index < request.answered;
                window && line.child == request.who && !line.requested && matches(answer, line.reported)
            };
            let reigns = self.reigns.range_mut((parent, 0)..=(parent, u32::MAX)).rev();
            if let Some(line) = reigns.flat_map(|(_, reign)| reign.lines.iter_mut().rev()).find(tells) {
                line.requested = true;
            }
        }
    }

    /// Whether one of these requests is pending for this child.
    pub(super) fn is_asked(&self, who: Who, verbs: &[Verb], at: At) -> bool {
        self.requests.iter().any(|request| {
            request.who == who && verbs.contains(&request.verb) && request.asked < at && at < request.answered
        })
    }

    /// Lives of children of supervisors, without rivals, under this member or of it.
    pub(super) fn lives_within(&self, subtree: Who) -> impl Iterator<Item = (Life, &Span)> {
        let within = move |life: &Life| !life.rival && self.shape.is_within(life.who, subtree);
        self.lives.iter().filter(move |(life, _)| within(life)).map(|(life, span)| (*life, span))
    }

    /// Its place in the start order: a child that was added by request comes after all that were there then.
    pub(super) fn place(&self, who: Who, reign: &Reign<'_>, at: At) -> (usize, usize) {
        let added = self.requests.iter().rev().find(|request| {
            let started = matches!(request.answer, None | Some(Answer::Runs(_) | Answer::Ignored));
            let here = request.asked < at && reign.since < request.answered;
            request.verb == Verb::Start && request.who == who && started && here
        });
        (added.map_or(0, |request| request.asked), who)
    }

    pub(super) fn describe(&self, life: Life) -> String {
        life.describe(self.shape)
    }

    pub(super) fn name(&self, who: Who) -> &str {
        self.shape.name(who)
    }

    pub(super) fn time(&self, at: At) -> u64 {
        self.record.log.get(at).map_or(0, |entry| entry.at)
    }
}

fn matches(answer: &Answer, reported: &Reported) -> bool {
    match (answer, reported) {
        (Answer::Runs(actor), Reported::Started(started)) => actor == started,
        (Answer::Ignored, Reported::Ignored) | (Answer::StartFailed(_), Reported::StartFailed(_)) => true,
        _ => false,
    }
}
