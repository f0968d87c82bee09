//! What surrounds a plan.

use std::sync::Arc;

use tokio::runtime::Handle;

use crate::api::config::ExecutionConfig;
use crate::execution::handlers::Handlers;
use crate::process::environment::Environment;
use crate::state::registry::Registry;
use crate::state::secrets::SecretSets;
use crate::state::slots::Slots;

/// What a plan needs of its engine and its caller.
pub(crate) struct PlanContext {
    pub config: Arc<ExecutionConfig>,
    pub registry: Arc<Registry>,
    pub slots: Arc<Slots>,
    pub environment: Environment,
    pub secret_sets: Arc<SecretSets>,
    pub runtime: Handle,
    pub handlers_of_step: Box<dyn Fn(usize) -> Handlers + Send + Sync>,
}
