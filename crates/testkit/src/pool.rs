use foundation::config::{ConfigSection, ConfigSources};
use foundation::{Foundation, FoundationBuilder};
use garde::Validate;
use serde::Deserialize;
use serde_json::{Value, json};

/// A section of the configuration with a rule: its maximum is not lower than its minimum, which is at least one.
#[derive(Debug, serde::Serialize, Deserialize, Validate)]
#[garde(allow_unvalidated)]
pub struct Pool {
    /// 1 by default; updatable.
    #[garde(range(min = 1))]
    pub min: u32,
    /// 4 by default; updatable.
    #[garde(custom(not_below(&self.min)))]
    pub max: u32,
    /// True by default; not updatable.
    pub fixed: bool,
}

fn not_below(min: &u32) -> impl FnOnce(&u32, &()) -> garde::Result + '_ {
    move |max, ()| if max < min { Err(garde::Error::new("lower than min")) } else { Ok(()) }
}

impl ConfigSection for Pool {
    const PATH: &'static str = "pool";
    const UPDATABLE: &'static [&'static str] = &["min", "max"];

    fn defaults() -> Value {
        json!({ "min": 1, "max": 4, "fixed": true })
    }
}

impl Pool {
    /// Settings with this section, and with an updatable `server.port` beside it.
    pub fn sources() -> ConfigSources {
        let sources = ConfigSources::new().section::<Self>().expect("the section is valid");
        let sources = sources.defaults(json!({ "server": { "port": 8080 } })).expect("the defaults are an object");
        sources.updatable("server").expect("the path is valid")
    }

    /// A foundation with these settings.
    pub fn foundation() -> FoundationBuilder {
        Foundation::builder().config(Self::sources())
    }
}
