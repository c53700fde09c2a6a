//! The rule that was chosen, as a table of settings: its name, and its own parameters beside it.

use std::borrow::Cow;

use hebbian::LEARNING_RULES;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::{Learner, StackOfRules};

/// The key of the rule's name.
const NAME: &str = "name";

/// The settings of a rule, with its name in front of them.
pub struct Chosen<R: Learner>(pub R::Settings);

impl<R: Learner> Default for Chosen<R> {
    fn default() -> Self {
        Self(R::Settings::default())
    }
}

impl<R: Learner> Serialize for Chosen<R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Named<'a, T> {
            name: &'static str,
            #[serde(flatten)]
            settings: &'a T,
        }
        Named { name: R::NAME, settings: &self.0 }.serialize(serializer)
    }
}

impl<'de, R: Learner> Deserialize<'de> for Chosen<R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = Map::deserialize(deserializer)?;
        match fields.remove(NAME) {
            Some(Value::String(name)) if name == R::NAME => {}
            other => return Err(D::Error::custom(format!("this is {}, not {other:?}", R::NAME))),
        }
        settings(fields).map(Self).map_err(D::Error::custom)
    }
}

fn settings<T: DeserializeOwned>(fields: Map<String, Value>) -> serde_json::Result<T> {
    serde_json::from_value(Value::Object(fields))
}

impl<R: Learner> JsonSchema for Chosen<R> {
    fn schema_name() -> Cow<'static, str> {
        R::NAME.into()
    }

    /// One alternative of many: the others are names.
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut own = generator.subschema_for::<R::Settings>();
        own.remove("description");
        if let Some(Value::Object(properties)) = own.get_mut("properties") {
            properties.insert(NAME.to_owned(), serde_json::json!({"const": R::NAME}));
        }
        let names = LEARNING_RULES.iter().chain([&StackOfRules::NAME]);
        let others = names.filter(|name| **name != R::NAME).map(|name| json_schema!({"const": name}));
        let all: Vec<Schema> = [own].into_iter().chain(others).collect();
        json_schema!({"oneOf": all})
    }
}
