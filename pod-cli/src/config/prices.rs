//! What the config file may say that a model costs: one table, or one for each time since when.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use session_store::usage::ModelPrice;

/// The prices of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Prices(pub(crate) Vec<ModelPrice>);

impl Serialize for Prices {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [one] => one.serialize(to),
            several => several.serialize(to),
        }
    }
}

impl<'de> Deserialize<'de> for Prices {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct OneOrSeveral;
        impl<'de> Visitor<'de> for OneOrSeveral {
            type Value = Prices;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the prices of a model: a table with input and output, or a list of such tables")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Prices, A::Error> {
                Ok(Prices(vec![ModelPrice::deserialize(MapAccessDeserializer::new(map))?]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Prices, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(Prices)
            }
        }
        from.deserialize_any(OneOrSeveral)
    }
}
