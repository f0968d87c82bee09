//! A step of a plan: what it runs, and under which conditions.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, Error as _, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use super::request::ExecutionRequest;
use super::result::ExecutionResult;
use super::step_key::StepKey;

/// A step of a plan. A request alone is one: `PlanStep::from(request)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanStep {
    /// What it runs.
    pub request: StepRequest,
    /// When it runs. Default: [`When::Success`]; in a serial plan that does not stop on an error, [`When::Always`].
    pub when: Option<When>,
    /// Whether others take its failure for a success. Default: `false`.
    pub allow_failure: bool,
    /// In a plan of named steps, the names of those that it waits for. Default: none.
    pub depends_on: Vec<String>,
}

/// What a step runs: known from the start, or made when its turn has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepRequest {
    /// It is known.
    Known(Box<ExecutionRequest>),
    /// A function makes it, from the results so far.
    Made {
        /// The id of its execution, which that of the request gives way to.
        id: Uuid,
        /// What makes it.
        make: RequestFn,
    },
}

/// Which ends of the steps that a step depends on, directly or not, let it run. A failure that is allowed is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// All have completed.
    Success,
    /// One has failed, in any way: also a cancel or a deadline of its own is one.
    Failure,
    /// All have ended, in whatever way.
    Always,
}

impl PlanStep {
    /// A step whose request is made when its turn has come, from the results so far. What the function returns is
    /// checked as any request; an error, or a request that is not acceptable, fails the step with `INVALID_STEP`.
    ///
    /// It is called on the runtime of the plan, once all that the step depends on has ended, and before the step waits
    /// for a slot. A cancel, the deadline of the plan, and a failure with `stop_on_error` end it: the future is dropped.
    pub fn made<F, R, E>(make: F) -> Self
    where
        F: Fn(StepResults) -> R + Send + Sync + 'static,
        R: Future<Output = Result<ExecutionRequest, E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        StepRequest::Made {
            id: Uuid::new_v4(),
            make: RequestFn::new(move |results| {
                let request = make(results());
                Box::pin(async move { request.await.map_err(|error| error.into().to_string()) })
            }),
        }
        .into()
    }

    /// The same step, whose execution has this id.
    #[must_use]
    pub fn with_id(mut self, id: Uuid) -> Self {
        match &mut self.request {
            StepRequest::Known(request) => request.id = id,
            StepRequest::Made { id: its, .. } => *its = id,
        }
        self
    }

    /// The same step, which runs at these ends of others.
    #[must_use]
    pub fn when(self, when: When) -> Self {
        let when = Some(when);
        Self { when, ..self }
    }

    /// The same step, whose failure others take for a success.
    #[must_use]
    pub fn allow_failure(self) -> Self {
        Self {
            allow_failure: true,
            ..self
        }
    }

    /// The same step, which waits for these as well.
    #[must_use]
    pub fn after<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.depends_on.extend(names.into_iter().map(Into::into));
        self
    }

    /// The id of its execution.
    #[must_use]
    pub fn id(&self) -> Uuid {
        match &self.request {
            StepRequest::Known(request) => request.id,
            StepRequest::Made { id, .. } => *id,
        }
    }

    /// What it runs, if that is known from the start.
    #[must_use]
    pub fn known(&self) -> Option<&ExecutionRequest> {
        match &self.request {
            StepRequest::Known(request) => Some(request),
            StepRequest::Made { .. } => None,
        }
    }
}

impl From<StepRequest> for PlanStep {
    fn from(request: StepRequest) -> Self {
        Self {
            request,
            when: None,
            allow_failure: false,
            depends_on: Vec::new(),
        }
    }
}

impl From<ExecutionRequest> for PlanStep {
    fn from(request: ExecutionRequest) -> Self {
        StepRequest::Known(Box::new(request)).into()
    }
}

/// What makes the request of a step. In JSON it is `null`; one that was read from there makes nothing, and a plan with it
/// is refused.
#[derive(Clone)]
pub struct RequestFn(Option<Arc<Make>>);

/// Is given what collects the results so far.
type Make = dyn Fn(&dyn Fn() -> StepResults) -> MadeRequest + Send + Sync;

/// A request on its way, or why there is none.
pub(crate) type MadeRequest =
    Pin<Box<dyn Future<Output = Result<ExecutionRequest, String>> + Send>>;

impl RequestFn {
    pub(crate) fn new(
        make: impl Fn(&dyn Fn() -> StepResults) -> MadeRequest + Send + Sync + 'static,
    ) -> Self {
        Self(Some(Arc::new(make)))
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.0.is_none()
    }

    /// What it makes; a plan with a function that was lost is refused.
    pub(crate) fn call(&self, results: &dyn Fn() -> StepResults) -> MadeRequest {
        match &self.0 {
            Some(make) => make(results),
            None => Box::pin(async { Err("the function was lost".into()) }),
        }
    }
}

impl fmt::Debug for RequestFn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RequestFn")
    }
}

impl PartialEq for RequestFn {
    /// Whether it is the same function.
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            _ => false,
        }
    }
}

impl Eq for RequestFn {}

/// What has become of the steps of a plan so far.
#[derive(Debug, Clone)]
pub struct StepResults {
    steps: Vec<(StepKey, Option<Arc<ExecutionResult>>)>,
}

impl StepResults {
    pub(crate) fn new(steps: Vec<(StepKey, Option<Arc<ExecutionResult>>)>) -> Self {
        Self { steps }
    }

    /// The result of the step with this index, if it has ended. Named steps are counted in the order of the plan.
    #[must_use]
    pub fn at(&self, index: usize) -> Option<&Arc<ExecutionResult>> {
        self.steps.get(index)?.1.as_ref()
    }

    /// The result of the step with this name, if it has ended.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<ExecutionResult>> {
        let is_wanted = |key: &StepKey| matches!(key, StepKey::Name(found) if **found == *name);
        let (_, result) = self.steps.iter().find(|(key, _)| is_wanted(key))?;
        result.as_ref()
    }

    /// All steps that have ended, in the order of the plan.
    pub fn iter(&self) -> impl Iterator<Item = (&StepKey, &Arc<ExecutionResult>)> {
        self.steps
            .iter()
            .filter_map(|(key, result)| Some((key, result.as_ref()?)))
    }
}

/// What a step says besides its request, in JSON beside the fields of that.
#[derive(Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub(crate) struct StepOptions {
    /// Which ends of the steps that it depends on, directly or not, let it run: those before it in a serial plan, none in
    /// a parallel one. A failure that is allowed is none. What is not `success` runs also after a failure with
    /// `stopOnError` and behind a skipped step, but not once the plan was cancelled or its deadline passed. Default:
    /// `success`; in a serial plan with `stopOnError: false`, `always`.
    #[serde(skip_serializing_if = "Option::is_none")]
    when: Option<When>,
    /// Whether the plan and the other steps take its failure for a success. Its own result tells the truth. Default:
    /// `false`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    allow_failure: bool,
    /// The names of the steps that it waits for. Default: none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(extend("x-plan" = "NamedPlan")))]
    depends_on: Vec<String>,
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for PlanStep {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "PlanStep".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        // So that both are defined.
        generator.subschema_for::<StepOptions>();
        generator.subschema_for::<ExecutionRequest>();
        let mut step = ExecutionRequest::json_schema(generator);
        let options = StepOptions::json_schema(generator);
        let options = options.get("properties").and_then(|all| all.as_object());
        if let Some(properties) = step
            .get_mut("properties")
            .and_then(|all| all.as_object_mut())
        {
            properties.extend(options.cloned().unwrap_or_default());
        }
        step.insert(
            "description".into(),
            "A step of a plan: a request, and what it says besides.".into(),
        );
        step
    }
}

impl Serialize for PlanStep {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Written<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            request: Option<()>,
            #[serde(flatten)]
            known: Option<&'a ExecutionRequest>,
            #[serde(flatten)]
            options: StepOptions,
        }
        let known = self.known();
        Written {
            request: known.is_none().then_some(()),
            known,
            options: StepOptions {
                when: self.when,
                allow_failure: self.allow_failure,
                depends_on: self.depends_on.clone(),
            },
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for PlanStep {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(StepVisitor)
    }
}

struct StepVisitor;

impl<'de> Visitor<'de> for StepVisitor {
    type Value = PlanStep;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a request object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<PlanStep, A::Error> {
        let mut found = Found::default();
        let rest = OfRequest {
            map,
            found: &mut found,
        };
        let known = ExecutionRequest::deserialize(MapAccessDeserializer::new(rest));
        let request = match (found.is_made, found.of_request) {
            (false, _) => StepRequest::Known(Box::new(known?)),
            (true, false) => StepRequest::Made {
                id: Uuid::new_v4(),
                make: RequestFn(None),
            },
            (true, true) => {
                return Err(A::Error::custom(
                    "expected either a request or the fields of one",
                ));
            }
        };
        let StepOptions {
            when,
            allow_failure,
            depends_on,
        } = found.options;
        Ok(PlanStep {
            request,
            when,
            allow_failure,
            depends_on,
        })
    }
}

/// What was found beside the fields of the request.
#[derive(Default)]
struct Found {
    options: StepOptions,
    is_made: bool,
    /// Whether there were fields of a request.
    of_request: bool,
}

/// The fields of the request, on whose way those of the step are taken out. (`flatten` of serde would copy all of them
/// first, and could not refuse unknown ones.)
struct OfRequest<'a, A> {
    map: A,
    found: &'a mut Found,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for OfRequest<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        while let Some(key) = self.map.next_key::<String>()? {
            let options = &mut self.found.options;
            match key.as_str() {
                "when" => options.when = self.map.next_value()?,
                "allow_failure" => options.allow_failure = self.map.next_value()?,
                "depends_on" => options.depends_on = self.map.next_value()?,
                "request" => {
                    self.map.next_value::<()>()?;
                    self.found.is_made = true;
                }
                _ => {
                    self.found.of_request = true;
                    return seed.deserialize(key.into_deserializer()).map(Some);
                }
            }
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}
