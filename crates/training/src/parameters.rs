//! Settings that are declared once: a config struct with a doc comment, a range and a default for each field.
//!
//! ```
//! use hebbian_training::Parameters;
//! use schemars::JsonSchema;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize, JsonSchema)]
//! #[serde(deny_unknown_fields, default)]
//! struct Pace {
//!     /// Step size.
//!     #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1))]
//!     rate: f64,
//! }
//!
//! impl Default for Pace {
//!     fn default() -> Self {
//!         Self { rate: 0.1 }
//!     }
//! }
//!
//! impl Parameters for Pace {}
//!
//! let refused = Pace { rate: 2.0 }.validate().unwrap_err();
//! assert_eq!(refused.to_string(), "rate = 2 is not allowed: a number above 0, at most 1");
//! ```

use std::cmp::Ordering;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Invalid;
use crate::schema::{allowed, alternatives, fields, may_be, schema, shown};
use crate::settings::unwritable;

/// A config struct that says itself what its fields mean and what is allowed.
///
/// Its JSON schema holds the doc comment and the range of every field. Errors, command lines and documentation are made
/// of it.
pub trait Parameters: Serialize + DeserializeOwned + JsonSchema {
    /// Checks what several fields must satisfy together; each is within its own range by then.
    ///
    /// # Errors
    /// Names the first field that is outside.
    fn check_together(&self) -> Result<(), Invalid> {
        Ok(())
    }

    /// [`check_together`](Self::check_together) for the field `name` of a larger struct.
    ///
    /// # Errors
    /// Names the field with the larger struct's name for it: `rule.k`.
    fn check_as(&self, name: &str) -> Result<(), Invalid> {
        self.check_together()
            .map_err(|invalid| Invalid { field: format!("{name}.{}", invalid.field), ..invalid })
    }

    /// Checks every field against the range that it declares, then [`check_together`](Self::check_together).
    ///
    /// # Errors
    /// Names the first field that is outside, `charge.k` for the field of a field.
    fn validate(&self) -> Result<(), Invalid> {
        let value = serde_json::to_value(self).map_err(unwritable::<Self>)?;
        check(&schema::<Self>(), &value, "")?;
        self.check_together()
    }
}

/// Checks `value` against the ranges in `schema`; `path` is the name that the value has in an error.
///
/// # Errors
/// Names the first field that is outside.
pub(crate) fn check(schema: &Value, value: &Value, path: &str) -> Result<(), Invalid> {
    let refuse = |value: String| Err(Invalid { field: path.to_owned(), value, allowed: allowed(schema) });
    let alternatives = alternatives(schema);
    if !alternatives.is_empty() {
        let taken = alternatives.iter().find_map(|one| Some((one.fields, one.fields_of(value)?)));
        return match taken {
            Some((schema, value)) => check_fields(schema, value, path),
            None => refuse(shown(value)),
        };
    }
    match value {
        Value::Null if may_be(schema, "null") => Ok(()),
        Value::Null => refuse("NaN or infinity".to_owned()),
        Value::Number(_) if !within(schema, value) => refuse(shown(value)),
        Value::Number(number) if number.is_f64() && !may_be(schema, "number") => refuse(shown(value)),
        Value::Number(_) if may_be(schema, "integer") || may_be(schema, "number") => Ok(()),
        Value::Bool(_) if may_be(schema, "boolean") => Ok(()),
        Value::String(text) if may_be(schema, "string") => match schema["enum"].as_array() {
            Some(all) if !all.contains(value) => refuse(text.clone()),
            _ => Ok(()),
        },
        Value::Array(items) if may_be(schema, "array") => {
            let least = schema["minItems"].as_u64().unwrap_or(0);
            let most = schema["maxItems"].as_u64().unwrap_or(u64::MAX);
            if !(least..=most).contains(&(items.len() as u64)) {
                return refuse(shown(value));
            }
            items.iter().try_for_each(|item| check(&schema["items"], item, path))
        }
        Value::Object(_) if may_be(schema, "object") => check_fields(schema, value, path),
        _ => refuse(shown(value)),
    }
}

fn check_fields(schema: &Value, value: &Value, path: &str) -> Result<(), Invalid> {
    let given = fields(schema).filter_map(|(name, schema)| Some((name, schema, value.get(name)?)));
    given.into_iter().try_for_each(|(name, schema, value)| match path {
        "" => check(schema, value, name),
        _ => check(schema, value, &format!("{path}.{name}")),
    })
}

/// Whether the number `value` is within the range of `schema`; whole numbers are compared as such.
fn within(schema: &Value, value: &Value) -> bool {
    let whole = |value: &Value| value.as_u64().map(i128::from).or_else(|| value.as_i64().map(i128::from));
    let compared = |bound: &Value| match (whole(value), whole(bound)) {
        (Some(value), Some(bound)) => Some(value.cmp(&bound)),
        _ => value.as_f64()?.partial_cmp(&bound.as_f64()?),
    };
    let holds = |key: &str, test: fn(Ordering) -> bool| {
        schema.get(key).is_none_or(|bound| compared(bound).is_some_and(test))
    };
    holds("minimum", Ordering::is_ge)
        && holds("exclusiveMinimum", Ordering::is_gt)
        && holds("maximum", Ordering::is_le)
        && holds("exclusiveMaximum", Ordering::is_lt)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::schema::undescribed;

    #[derive(Clone, Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "kebab-case", deny_unknown_fields)]
    enum Kind {
        /// Nothing to set.
        Plain,
        /// One thing to set.
        Curved {
            /// How much.
            #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
            bend: f64,
        },
    }

    #[derive(Clone, Serialize, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    struct Inner {
        /// A rank.
        #[schemars(range(min = 2, max = 9))]
        k: usize,
    }

    #[derive(Clone, Serialize, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    struct Outer {
        /// A number.
        mean: f64,
        /// A list.
        #[schemars(length(min = 1), inner(range(min = 1)))]
        sizes: Vec<usize>,
        /// A kind.
        kind: Kind,
        /// Another table.
        inner: Option<Inner>,
        /// Nothing, or a count.
        #[schemars(range(min = 1))]
        most: Option<usize>,
        /// A kind with a tag.
        tagged: Tagged,
    }

    #[derive(Clone, Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "kebab-case", deny_unknown_fields, tag = "kind")]
    enum Tagged {
        /// Nothing to set.
        Once,
        /// One thing to set.
        Often {
            /// How often.
            #[schemars(range(min = 2))]
            times: usize,
        },
    }

    impl Default for Inner {
        fn default() -> Self {
            Self { k: 3 }
        }
    }

    impl Default for Outer {
        fn default() -> Self {
            Self {
                mean: 0.0,
                sizes: vec![2],
                kind: Kind::Plain,
                inner: None,
                most: None,
                tagged: Tagged::Once,
            }
        }
    }

    impl Parameters for Outer {
        fn check_together(&self) -> Result<(), Invalid> {
            Invalid::unless(self.most != Some(13), "most", 13, "anything else")
        }
    }

    fn refusal(change: impl FnOnce(&mut Outer)) -> String {
        let mut outer = Outer::default();
        change(&mut outer);
        outer.validate().unwrap_err().to_string()
    }

    #[test]
    fn what_is_within_its_ranges_is_taken() {
        Outer::default().validate().unwrap();
        let all = Outer {
            kind: Kind::Curved { bend: 0.5 },
            inner: Some(Inner { k: 9 }),
            most: Some(1),
            tagged: Tagged::Often { times: 2 },
            ..Outer::default()
        };
        all.validate().unwrap();
    }

    #[test]
    fn the_field_outside_its_range_is_named_wherever_it_lies() {
        let k = "inner.k = 1 is not allowed: 2 to 9";
        assert_eq!(refusal(|outer| outer.inner = Some(Inner { k: 1 })), k);
        let bend = "kind.bend = 1 is not allowed: a number above 0, below 1";
        assert_eq!(refusal(|outer| outer.kind = Kind::Curved { bend: 1.0 }), bend);
        let times = "tagged.times = 1 is not allowed: at least 2";
        assert_eq!(refusal(|outer| outer.tagged = Tagged::Often { times: 1 }), times);
        assert!(refusal(|outer| outer.sizes = vec![]).starts_with("sizes = "));
        assert!(
            refusal(|outer| outer.sizes = vec![3, 0]).starts_with("sizes = 0 is not allowed: at least 1")
        );
        assert_eq!(refusal(|outer| outer.most = Some(0)), "most = 0 is not allowed: at least 1");
    }

    #[test]
    fn what_is_not_finite_is_refused_as_that() {
        for mean in [f64::NAN, f64::INFINITY] {
            let expected = "mean = NaN or infinity is not allowed: a number";
            assert_eq!(refusal(|outer| outer.mean = mean), expected);
        }
    }

    #[test]
    fn a_field_without_a_doc_comment_is_found_wherever_it_lies() {
        #[derive(JsonSchema)]
        #[allow(dead_code)]
        struct Bare {
            /// Said.
            told: usize,
            untold: Option<Kind>,
            /// Said.
            below: Nested,
        }
        #[derive(JsonSchema)]
        #[allow(dead_code)]
        struct Nested {
            untold: f64,
        }
        assert_eq!(undescribed(&schema::<Bare>()), ["below.untold", "untold"]);
        assert_eq!(undescribed(&schema::<Outer>()), [""; 0]);
    }

    #[test]
    fn fields_are_checked_together_last() {
        assert_eq!(refusal(|outer| outer.most = Some(13)), "most = 13 is not allowed: anything else");
    }
}
