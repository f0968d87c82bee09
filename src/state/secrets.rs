//! What must not be shown of an execution.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::api::error::ValidationError;
use crate::masking::mask::Mask;
use crate::masking::secret::Secret;

/// Some secrets, and what finds them: made when it is needed, and once for all executions that share the set.
#[derive(Debug, Default)]
pub(crate) struct SecretSet {
    /// Sorted, each once.
    secrets: Vec<Secret>,
    mask: OnceLock<Option<Arc<Mask>>>,
}

impl SecretSet {
    pub fn of(mut secrets: Vec<Secret>) -> Self {
        secrets.sort_unstable();
        secrets.dedup();
        Self {
            secrets,
            mask: OnceLock::new(),
        }
    }

    pub fn is_same(&self, other: &Self) -> bool {
        self.secrets == other.secrets
    }

    fn with(&self, secret: &Secret) -> Self {
        Self::of(self.secrets.iter().chain([secret]).cloned().collect())
    }

    pub fn mask(&self) -> Option<&Arc<Mask>> {
        self.mask.get_or_init(|| Mask::of(&self.secrets)).as_ref()
    }

    pub fn hide<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.mask() {
            Some(mask) => mask.text(text),
            None => Cow::Borrowed(text),
        }
    }

    /// What is wrong with a request, without its secrets.
    pub fn hide_in(&self, error: ValidationError) -> ValidationError {
        error.hiding(|text| self.hide(text).into_owned())
    }
}

/// What must not be shown of one execution, which may become more while it runs.
#[derive(Debug, Default)]
pub(crate) struct Secrets {
    /// How often there were others, of which the first is the set that it began with. Read without the lock: before each
    /// read of the output of a command.
    changes: AtomicU32,
    set: Mutex<Option<Arc<SecretSet>>>,
}

impl From<Option<Arc<SecretSet>>> for Secrets {
    fn from(set: Option<Arc<SecretSet>>) -> Self {
        Self {
            changes: AtomicU32::new(u32::from(set.is_some())),
            set: Mutex::new(set),
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

    /// Adds one. The set that comes of it is made by `grown`: of each set, for all executions that share it.
    pub fn add(&self, secret: &Secret, grown: &mut Grown) {
        let mut set = self.lock();
        let old = set.take();
        *set = Some(grown.of(old, secret));
        drop(set);
        self.changes.fetch_add(1, Ordering::Release);
    }

    /// Adds all of a set.
    pub fn extend(&self, more: &Arc<SecretSet>) {
        let mut set = self.lock();
        *set = Some(match set.take() {
            Some(old) if !old.is_same(more) => {
                let all = old.secrets.iter().chain(&more.secrets);
                Arc::new(SecretSet::of(all.cloned().collect()))
            }
            _ => Arc::clone(more),
        });
        drop(set);
        self.changes.fetch_add(1, Ordering::Release);
    }

    /// Forgets them, so that they are wiped: what is to be shown of the execution is without them.
    pub fn forget(&self) {
        if self.changes() > 0 {
            *self.lock() = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<SecretSet>>> {
        self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sets to which a secret was added, so that executions which shared one share the next.
#[derive(Default)]
pub(crate) struct Grown(Vec<(Option<Arc<SecretSet>>, Arc<SecretSet>)>);

impl Grown {
    fn of(&mut self, old: Option<Arc<SecretSet>>, secret: &Secret) -> Arc<SecretSet> {
        let is_same = |one: &Option<Arc<SecretSet>>| match (one, &old) {
            (Some(one), Some(old)) => Arc::ptr_eq(one, old),
            (None, None) => true,
            _ => false,
        };
        if let Some((_, new)) = self.0.iter().find(|(one, _)| is_same(one)) {
            return Arc::clone(new);
        }
        let secrets = old.as_deref().unwrap_or(&SecretSet::default()).with(secret);
        let new = Arc::new(secrets);
        self.0.push((old, Arc::clone(&new)));
        new
    }
}
