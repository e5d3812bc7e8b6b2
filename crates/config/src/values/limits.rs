use foundation_events::json::{is_deeper_than, json_bytes};
use serde_json::Value;

use super::error::ConfigError;
use super::origin::ValueOrigin;

foundation_kernel::limits! {
    /// How much a configuration may hold, whatever layer it comes from. The depth and length of paths are limited by
    /// [`ConfigPath`](crate::ConfigPath) itself.
    ///
    /// As with all sets of limits, a method sets each, and its text shows all of them, a line for each.
    ///
    /// ```
    /// use foundation_config_server::{ConfigLimits, ConfigSources};
    ///
    /// let limits = ConfigLimits::new().max_value_bytes(4);
    /// assert!(limits.to_string().contains("max_value_bytes: 4\n"));
    /// let sources = ConfigSources::new().defaults(serde_json::json!({ "motd": "hello" }))?.limits(limits);
    /// assert_eq!(
    ///     sources.load().unwrap_err().to_string(),
    ///     "the value at config path motd (the defaults) has 7 bytes as JSON, and at most 4 are allowed"
    /// );
    /// # Ok::<(), foundation_config_server::ConfigError>(())
    /// ```
    pub struct ConfigLimits {
        /// How many values there may be altogether; 10,000.
        max_paths: usize = 10_000,
        /// How many bytes one value may have, as JSON; 65,536.
        max_value_bytes: usize = 1 << 16,
        /// How many levels of arrays, and of sections in them, one value may have; 16.
        max_value_depth: usize = 16,
        /// How many bytes one file may have; 1,048,576.
        max_file_bytes: usize = 1 << 20,
    }
}

impl ConfigLimits {
    /// Refuses a value that is too large or too deep.
    pub(super) fn check_value(&self, path: &str, value: &Value, origin: &ValueOrigin) -> Result<(), ConfigError> {
        let over = |found: String, limit| {
            let what = format!("the value at config path {path} ({origin})");
            Err(ConfigError::OverLimit { what, found, limit })
        };
        // The depth comes first: measuring the bytes recurses.
        if is_deeper_than(self.max_value_depth, value) {
            return over("more levels".to_owned(), self.max_value_depth);
        }
        let bytes = json_bytes(value);
        match bytes > self.max_value_bytes {
            true => over(format!("{bytes} bytes as JSON"), self.max_value_bytes),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(value: &Value) -> Result<(), ConfigError> {
        ConfigLimits::default().check_value("a", value, &ValueOrigin::Override)
    }

    fn nested(levels: usize) -> Value {
        (0..levels).fold(Value::Null, |inner, _| json!([inner]))
    }

    #[test]
    fn a_value_of_exactly_the_allowed_size_and_depth_is_taken_and_more_is_refused() {
        let text = |bytes: usize| Value::String("x".repeat(bytes - 2));
        assert_eq!((check(&text(1 << 16)), check(&nested(16))), (Ok(()), Ok(())));
        let error = check(&text((1 << 16) + 1)).unwrap_err().to_string();
        let place = "the value at config path a (an update at run time) has";
        assert_eq!(error, format!("{place} 65537 bytes as JSON, and at most 65536 are allowed"));
        let error = check(&nested(17)).unwrap_err().to_string();
        assert_eq!(error, format!("{place} more levels, and at most 16 are allowed"));
    }
}
