//! What must not be shown of an execution.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use crate::api::error::ValidationError;
use crate::masking::mask::Mask;
use crate::masking::secret::Secret;
use crate::masking::text;

/// How much can be looked for at once: what finds it takes some hundred times as much memory.
const MOST_BYTES: usize = 256 * 1024;

/// Some secrets, and what finds them: made when it is needed, and once for all executions that share the set.
#[derive(Debug)]
pub(crate) struct SecretSet {
    /// Sorted, each once.
    secrets: Vec<Secret>,
    mask: OnceLock<Option<Arc<Mask>>>,
}

impl SecretSet {
    pub fn mask(&self) -> Option<&Arc<Mask>> {
        self.mask.get_or_init(|| Mask::of(&self.secrets)).as_ref()
    }

    pub fn hide<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.mask() {
            Some(mask) => text::masked(mask, text),
            None => Cow::Borrowed(text),
        }
    }

    /// What is wrong with a request, without its secrets.
    pub fn hide_in(&self, error: ValidationError) -> ValidationError {
        error.hiding(|text| self.hide(text).into_owned())
    }
}

/// A text without the secrets of any of these sets.
pub(crate) fn hide_all<'a>(
    sets: impl IntoIterator<Item = &'a Arc<SecretSet>>,
    text: &str,
) -> String {
    let mut seen: Vec<&Arc<SecretSet>> = Vec::new();
    let mut shown = text.to_owned();
    for set in sets {
        if !seen.iter().any(|one| Arc::ptr_eq(one, set)) {
            shown = set.hide(&shown).into_owned();
            seen.push(set);
        }
    }
    shown
}

/// What must not be shown of one execution, which may become more while it runs.
#[derive(Debug, Default)]
pub(crate) struct Secrets {
    /// How often there were others, of which the first is the set that it began with. Read without the lock: before each
    /// read of the output of a command.
    changes: AtomicU32,
    set: Mutex<Option<Arc<SecretSet>>>,
    /// Something of it goes on to print when it is over.
    is_kept: AtomicBool,
}

impl From<Option<Arc<SecretSet>>> for Secrets {
    fn from(set: Option<Arc<SecretSet>>) -> Self {
        Self {
            changes: AtomicU32::new(u32::from(set.is_some())),
            set: Mutex::new(set),
            is_kept: AtomicBool::new(false),
        }
    }
}

impl Secrets {
    /// How often there were others, 0 if there never was one.
    pub fn changes(&self) -> u32 {
        self.changes.load(Ordering::Acquire)
    }

    pub fn set(&self) -> Option<Arc<SecretSet>> {
        if self.changes() == 0 {
            return None;
        }
        self.lock().clone()
    }

    /// What finds the present secrets, if there are any.
    pub fn mask(&self) -> Option<Arc<Mask>> {
        self.set()?.mask().cloned()
    }

    /// A text without the secrets in it.
    pub fn hide(&self, text: String) -> String {
        match self.set() {
            Some(set) => set.hide(&text).into_owned(),
            None => text,
        }
    }

    /// Adds one.
    ///
    /// # Errors
    ///
    /// More than can be looked for at once.
    pub fn add(&self, secret: &Secret, sets: &SecretSets) -> Result<(), ValidationError> {
        let mut set = self.lock();
        let old = set.iter().flat_map(|set| &set.secrets);
        let all = old.chain([secret]).cloned().collect();
        *set = Some(sets.share(all, "value")?);
        drop(set);
        self.changes.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// Adds all of a set.
    ///
    /// # Errors
    ///
    /// More than can be looked for at once.
    pub fn extend(&self, more: &SecretSet, sets: &SecretSets) -> Result<(), ValidationError> {
        let mut set = self.lock();
        let old = set.iter().flat_map(|set| &set.secrets);
        let all = old.chain(&more.secrets).cloned().collect();
        *set = Some(sets.share(all, "secrets")?);
        drop(set);
        self.changes.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// Has them remembered for as long as the execution is: what it left running is read on.
    pub fn keep(&self) {
        self.is_kept.store(true, Ordering::Relaxed);
    }

    /// Forgets them, so that they are wiped: what is to be shown of the execution is without them.
    pub fn forget(&self) {
        if self.changes() > 0 && !self.is_kept.load(Ordering::Relaxed) {
            *self.lock() = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<SecretSet>>> {
        self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sets that executions of an engine have now: those that have the same share it.
#[derive(Debug, Default)]
pub(crate) struct SecretSets(Mutex<Shared>);

#[derive(Debug, Default)]
struct Shared {
    hasher: RandomState,
    /// By the hash of their secrets.
    sets: HashMap<u64, Vec<Weak<SecretSet>>>,
    /// When there are that many, those that nobody has any more are taken out.
    full: usize,
}

impl SecretSets {
    /// The set of these secrets.
    ///
    /// # Errors
    ///
    /// More than can be looked for at once, with `field`.
    pub fn share(
        &self,
        mut secrets: Vec<Secret>,
        field: &str,
    ) -> Result<Arc<SecretSet>, ValidationError> {
        secrets.sort_unstable();
        secrets.dedup();
        let size: usize = secrets.iter().map(|secret| secret.expose().len()).sum();
        if size > MOST_BYTES {
            let expected = format!("secrets of at most {MOST_BYTES} bytes in all");
            return Err(ValidationError::new(field, expected, size.to_string()));
        }
        let mut shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let hash = shared.hasher.hash_one(&secrets);
        let same = shared.sets.get(&hash).into_iter().flatten();
        let mut same = same.filter_map(Weak::upgrade);
        if let Some(set) = same.find(|set| set.secrets == secrets) {
            return Ok(set);
        }
        drop(same);
        if shared.sets.len() >= shared.full {
            shared.sets.retain(|_, sets| {
                sets.retain(|set| set.strong_count() > 0);
                !sets.is_empty()
            });
            shared.full = 2 * shared.sets.len() + 8;
        }
        let set = Arc::new(SecretSet {
            secrets,
            mask: OnceLock::new(),
        });
        shared
            .sets
            .entry(hash)
            .or_default()
            .push(Arc::downgrade(&set));
        Ok(set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executions_with_the_same_secrets_share_what_finds_them_as_long_as_one_lives() {
        let sets = SecretSets::default();
        let share = |secrets: &[&str]| {
            let secrets = secrets.iter().map(|secret| Secret::from(*secret)).collect();
            sets.share(secrets, "secrets").expect("few of them")
        };
        let one = share(&["first", "second"]);
        assert!(Arc::ptr_eq(&one, &share(&["second", "first", "second"])));
        assert!(!Arc::ptr_eq(&one, &share(&["first"])));
        for number in 0..1000 {
            drop(share(&[&format!("secret-{number}")]));
        }
        let kept = sets.0.lock().expect("no panic").sets.len();
        assert!(kept < 20, "{kept} sets are kept");
        assert!(Arc::ptr_eq(&one, &share(&["first", "second"])));
    }

    #[test]
    fn what_is_added_is_hidden_and_what_is_forgotten_is_gone() {
        let sets = SecretSets::default();
        let secrets = Secrets::default();
        assert_eq!(secrets.hide("a first".into()), "a first");
        secrets.add(&"first".into(), &sets).expect("room");
        secrets.add(&"second".into(), &sets).expect("room");
        assert_eq!(
            (
                secrets.hide("a first second".into()).as_str(),
                secrets.changes()
            ),
            ("a *** ***", 2)
        );
        let set = Arc::downgrade(&secrets.set().expect("a set"));
        secrets.forget();
        assert!(set.upgrade().is_none());
    }

    #[test]
    fn more_than_can_be_looked_for_is_refused() {
        let sets = SecretSets::default();
        let secrets: Vec<Secret> = (0..5)
            .map(|i| Secret::from(format!("{i}").repeat(60_000)))
            .collect();
        let error = sets.share(secrets, "secrets").expect_err("too much");
        assert_eq!(
            error.to_string(),
            "secrets: expected secrets of at most 262144 bytes in all, found 300000"
        );
    }
}
