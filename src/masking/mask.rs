//! What finds the secrets of an execution in whatever is printed of it, and what is put in their place.

use std::fmt;
use std::sync::Arc;

use super::filter::Filter;
use super::search::Search;
use super::secret::Secret;
use super::variants::{Form, Forms};

/// What stands in place of a secret.
pub(crate) const MASK: &[u8] = b"***";

/// Some secrets, and all that is needed to find them. Made once, and shared by all that have the same.
pub(crate) struct Mask {
    pub(super) exact: Search,
    pub(super) flowing: Search,
    pub(super) filter: Filter,
}

impl Mask {
    /// `None` where there is nothing to hide.
    pub fn of(secrets: &[Secret]) -> Option<Arc<Self>> {
        let Forms { exact, flowing } = Forms::of(secrets);
        if exact.is_empty() && flowing.is_empty() {
            return None;
        }
        // Of what flows, the bytes up to the first white space, and each byte that this may begin with.
        let beginnings: Vec<Form> = flowing
            .iter()
            .flat_map(|form| {
                let word = form.split(|byte| *byte == b' ').next().unwrap_or_default();
                b" \t\n\x0b\x0c\r".map(|space| Form::new([word, &[space]].concat()))
            })
            .collect();
        let begins = exact.iter().chain(&beginnings).map(|form| form.as_slice());
        Some(Arc::new(Self {
            filter: Filter::new(begins),
            exact: Search::new(&exact),
            flowing: Search::new(&flowing),
        }))
    }
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mask(***)")
    }
}
