//! What comes from JavaScript as JSON.

use std::collections::HashMap;

use napi::Either;
use napi::bindgen_prelude::Uint8Array;
use napi_derive::napi;
use uuid::Uuid;
use zeroize::Zeroize;

use crate::api::error::{Result, ValidationError};
use crate::api::plan::ExecutionPlan;
use crate::api::request::ExecutionRequest;
use crate::api::step::{PlanStep, RequestFn, StepRequest};
use crate::masking::secret::Secret;

/// A request as JSON, with its input apart.
pub(super) fn parse_request(
    json: String,
    stdin: Option<Either<String, Uint8Array>>,
) -> Result<ExecutionRequest> {
    let mut request: ExecutionRequest =
        serde_json::from_str(&json).map_err(unreadable("request"))?;
    wipe(json, &request.secrets);
    if let Some(stdin) = stdin {
        request.stdin = Some(bytes(stdin).into());
    }
    Ok(request)
}

/// Wipes what was sent, where it holds secrets.
pub(super) fn wipe<'a>(mut json: String, secrets: impl IntoIterator<Item = &'a Secret>) {
    if secrets.into_iter().next().is_some() {
        json.zeroize();
    }
}

pub(super) fn unreadable(what: &'static str) -> impl Fn(serde_json::Error) -> ValidationError {
    let expected = "text of whole Unicode characters";
    // Not what the error says, which may tell a value.
    move |error| {
        let found = format!("something else at byte {}", error.column());
        ValidationError::new(what, expected, found)
    }
}

pub(super) fn bytes(stdin: Either<String, Uint8Array>) -> Vec<u8> {
    match stdin {
        Either::A(text) => text.into_bytes(),
        Either::B(bytes) => bytes.to_vec(),
    }
}

/// What of a step of a plan is not in the JSON.
#[napi(object)]
pub struct StepInput {
    /// Its index.
    pub step: u32,
    /// What it reads.
    pub stdin: Option<Either<String, Uint8Array>>,
    /// Where its request is made when its turn has come: the id of its execution.
    pub made_as: Option<String>,
}

/// The same, by the index of the step.
pub(super) type StepInputs = HashMap<usize, (Option<Vec<u8>>, Option<String>)>;

pub(super) fn inputs_by_step(inputs: Vec<StepInput>) -> StepInputs {
    let inputs = inputs.into_iter();
    inputs
        .map(|input| (input.step as usize, (input.stdin.map(bytes), input.made_as)))
        .collect()
}

/// A plan as JSON, with what of its steps is apart. `maker` returns what makes the function of a step.
pub(super) fn parse_plan<F: Fn(usize) -> RequestFn>(
    json: String,
    mut inputs: StepInputs,
    maker: impl FnOnce(&ExecutionPlan) -> F,
) -> Result<ExecutionPlan> {
    let mut plan: ExecutionPlan = serde_json::from_str(&json).map_err(unreadable("plan"))?;
    let steps = plan.steps.iter().filter_map(PlanStep::known);
    let secrets = steps.flat_map(|step| &step.secrets);
    wipe(json, plan.secrets.iter().chain(secrets));
    let function_of = maker(&plan);
    for (index, step) in plan.steps.iter_mut().enumerate() {
        let (stdin, made_as) = inputs.remove(&index).unwrap_or_default();
        match &mut step.request {
            StepRequest::Known(request) => {
                if let Some(stdin) = stdin {
                    request.stdin = Some(stdin.into());
                }
            }
            StepRequest::Made { id, make } => {
                *id = parse_id(&made_as.unwrap_or_default())?;
                *make = function_of(index);
            }
        }
    }
    Ok(plan)
}

pub(super) fn parse_id(id: &str) -> Result<Uuid> {
    Uuid::try_parse(id).map_err(|_| ValidationError::new("id", "a UUID", format!("{id:?}")).into())
}
