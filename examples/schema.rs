//! Prints the JSON Schema of what users pass and get, as Rust spells it. `npm run contract` makes from it what JavaScript
//! checks, the types of TypeScript, and the schema that is published.

use execution_engine::{
    ErrorCode, ExecutionConfig, ExecutionEvent, ExecutionFilter, ExecutionPlan, ExecutionRequest,
    ExecutionResult, ExecutionStatus, ExecutionSummary, LogPage, PlanExecutionResult,
};
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::json;

fn main() {
    let mut passed = SchemaSettings::draft2020_12()
        .for_deserialize()
        .into_generator();
    passed.subschema_for::<ExecutionRequest>();
    passed.subschema_for::<ExecutionPlan>();
    passed.subschema_for::<ExecutionConfig>();
    passed.subschema_for::<ExecutionFilter>();
    let mut told = SchemaSettings::draft2020_12()
        .for_serialize()
        .into_generator();
    told.subschema_for::<ExecutionResult>();
    told.subschema_for::<ExecutionStatus>();
    told.subschema_for::<ExecutionSummary>();
    told.subschema_for::<PlanExecutionResult>();
    told.subschema_for::<ExecutionEvent>();
    told.subschema_for::<LogPage>();
    told.subschema_for::<ErrorCode>();
    let definitions = |generator: &mut SchemaGenerator| generator.take_definitions(true);
    let both = json!({ "passed": definitions(&mut passed), "told": definitions(&mut told) });
    println!("{both:#}");
}
