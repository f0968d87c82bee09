//! What a command inherits from the host, and as whom it runs.

use std::fmt;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::api::error::ValidationError;

/// How [`InheritEnv::Login`] is spelled in JSON.
const LOGIN: &str = "login";

/// Which variables of the host a command inherits. In JSON: a boolean, a list of names, or `"login"`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub enum InheritEnv {
    /// All.
    #[default]
    All,
    /// None.
    None,
    /// Those of these names; a `*` in one stands for any characters.
    Names(Vec<String>),
    /// All, with the `PATH` of the login shell in place of that of the host. On Windows, which has no such shell, all.
    Login,
}

impl From<bool> for InheritEnv {
    fn from(inherits: bool) -> Self {
        if inherits { Self::All } else { Self::None }
    }
}

impl InheritEnv {
    pub(crate) fn validate(&self) -> Result<(), ValidationError> {
        let Self::Names(names) = self else {
            return Ok(());
        };
        for (index, name) in names.iter().enumerate() {
            if name.is_empty() || name.contains(['=', '\0']) {
                let expected = "the name of a variable, or a pattern for some";
                let field = format!("inherit_env[{index}]");
                return Err(ValidationError::new(field, expected, format!("{name:?}")));
            }
        }
        Ok(())
    }
}

impl Serialize for InheritEnv {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::All => serializer.serialize_bool(true),
            Self::None => serializer.serialize_bool(false),
            Self::Names(names) => names.serialize(serializer),
            Self::Login => serializer.serialize_str(LOGIN),
        }
    }
}

impl<'de> Deserialize<'de> for InheritEnv {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Spelling;
        impl<'de> Visitor<'de> for Spelling {
            type Value = InheritEnv;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a boolean, a list of names or \"{LOGIN}\"")
            }

            fn visit_bool<E>(self, inherits: bool) -> Result<InheritEnv, E> {
                Ok(inherits.into())
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<InheritEnv, E> {
                if text == LOGIN {
                    return Ok(InheritEnv::Login);
                }
                Err(E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<InheritEnv, A::Error> {
                let names = serde::de::value::SeqAccessDeserializer::new(list);
                Deserialize::deserialize(names).map(InheritEnv::Names)
            }
        }
        from.deserialize_any(Spelling)
    }
}

/// A user of the system.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum User {
    /// By number.
    Id(u32),
    /// By name.
    Name(String),
}

impl User {
    pub(crate) fn validate(&self) -> Result<(), ValidationError> {
        let is_none = match self {
            // The number that stands for no user.
            Self::Id(id) => *id == u32::MAX,
            Self::Name(name) => name.is_empty() || name.contains('\0'),
        };
        if is_none {
            let expected = "the name or the number of a user";
            return Err(ValidationError::new("user", expected, self.to_string()));
        }
        Ok(())
    }
}

impl From<u32> for User {
    fn from(id: u32) -> Self {
        Self::Id(id)
    }
}

impl From<&str> for User {
    fn from(name: &str) -> Self {
        Self::Name(name.into())
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Name(name) => write!(f, "{name:?}"),
        }
    }
}

#[cfg(feature = "schema")]
mod schema {
    use std::borrow::Cow;

    use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

    impl JsonSchema for super::InheritEnv {
        fn schema_name() -> Cow<'static, str> {
            "InheritEnv".into()
        }

        fn inline_schema() -> bool {
            true
        }

        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            json_schema!({
                "oneOf": [
                    { "type": "boolean" },
                    { "type": "array", "items": { "type": "string" } },
                    { "enum": [super::LOGIN] },
                ],
                "x-kind": "inheritEnv",
                "x-typescript": "boolean | readonly string[] | 'login'",
            })
        }
    }

    impl JsonSchema for super::User {
        fn schema_name() -> Cow<'static, str> {
            "User".into()
        }

        fn inline_schema() -> bool {
            true
        }

        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            json_schema!({
                "oneOf": [
                    { "type": "integer", "minimum": 0, "maximum": u32::MAX - 1 },
                    { "type": "string", "minLength": 1 },
                ],
                "x-kind": "user",
                "x-typescript": "string | number",
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_spelled_in_json_and_read_again() {
        for (form, json) in [
            (InheritEnv::All, "true"),
            (InheritEnv::None, "false"),
            (InheritEnv::Login, r#""login""#),
            (InheritEnv::Names(vec!["A*".into()]), r#"["A*"]"#),
        ] {
            assert_eq!(serde_json::to_string(&form).expect("JSON"), json);
            let read: InheritEnv = serde_json::from_str(json).expect("a known form");
            assert_eq!(read, form);
        }
        for wrong in [r#""shell""#, "1", "[1]", "null"] {
            assert!(
                serde_json::from_str::<InheritEnv>(wrong).is_err(),
                "{wrong}"
            );
        }
    }
}
