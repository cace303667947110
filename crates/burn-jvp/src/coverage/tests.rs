//! The table against Burn's list of operations and against the rules.

use super::synthesis::{value, variants};
use super::{Class, OPERATIONS, class, markdown};
use crate::dual::Dual;
use crate::interpreter::{Interpreter, Primals};
use crate::rule::Refusal;
use crate::rules;
use burn::backend::ir::{
    ActivationOperationIr, BaseOperationIr, BoolOperationIr, DistributedOperationIr,
    FloatOperationIr, IntOperationIr, ModuleOperationIr, NumericOperationIr, OperationIr, TensorId,
};
use burn::tensor::{Device, Tensor};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The enum of the operations of a group with its variants. Of a group that is one operation there is none.
fn operations(group: &str) -> (&'static str, &'static [&'static str]) {
    match group {
        "BaseFloat" | "BaseInt" | "BaseBool" => ("BaseOperationIr", variants::<BaseOperationIr>()),
        "NumericFloat" | "NumericInt" => ("NumericOperationIr", variants::<NumericOperationIr>()),
        "Bool" => ("BoolOperationIr", variants::<BoolOperationIr>()),
        "Int" => ("IntOperationIr", variants::<IntOperationIr>()),
        "Float" => ("FloatOperationIr", variants::<FloatOperationIr>()),
        "Module" => ("ModuleOperationIr", variants::<ModuleOperationIr>()),
        "Activation" => ("ActivationOperationIr", variants::<ActivationOperationIr>()),
        "Distributed" => (
            "DistributedOperationIr",
            variants::<DistributedOperationIr>(),
        ),
        "Init" | "Custom" | "Drop" => ("", &[]),
        group => panic!("Burn has a new group of operations: {group}"),
    }
}

/// The index of the update at indices that all types have, `IndexingUpdateOp::Add`.
const ADD: u32 = 1;

/// Every operation that Burn can record, with its group and name.
fn all() -> Vec<(&'static str, Option<&'static str>, OperationIr)> {
    let mut all = Vec::new();
    for (i, group) in variants::<OperationIr>().iter().enumerate() {
        let (name, operations) = operations(group);
        let make = |j: usize| {
            value(&[
                ("OperationIr", i as u32),
                (name, j as u32),
                ("IndexingUpdateOp", ADD),
            ])
        };
        if operations.is_empty() {
            all.push((*group, None, make(0)));
        }
        let operations = operations.iter().enumerate();
        all.extend(operations.map(|(j, operation)| (*group, Some(*operation), make(j))));
    }
    all
}

/// The refusal of an operation whose inputs have no tangents, if its rule refuses it.
///
/// An operation that was made up mostly panics in Burn, because its shapes do not fit: then it has a rule.
fn refusal(op: &OperationIr) -> Option<Refusal> {
    let device = Device::flex();
    let input = Tensor::<1>::ones([1], &device).into_dispatch();
    let mut interp = Interpreter {
        values: HashMap::from([(TensorId::new(1), Dual::constant(input))]),
        reads: HashMap::from([(TensorId::new(1), 100)]),
        k: 1,
        device: device.as_dispatch().clone(),
        rules: &[],
        primals: &mut Primals::Compute,
    };
    catch_unwind(AssertUnwindSafe(|| rules::apply(op, &mut interp)))
        .ok()?
        .err()
}

#[test]
fn every_operation_of_burn_has_one_class() {
    let mut burn: Vec<_> = all().into_iter().map(|(g, n, _)| (g, n)).collect();
    let mut table: Vec<_> = OPERATIONS
        .iter()
        .flat_map(|row| {
            let names = row.operations.iter().map(|name| (row.group, Some(*name)));
            let whole = row.operations.is_empty().then_some((row.group, None));
            names.chain(whole)
        })
        .collect();
    burn.sort_unstable();
    table.sort_unstable();
    let unclassified: Vec<_> = burn.iter().filter(|op| !table.contains(op)).collect();
    assert!(unclassified.is_empty(), "without a class: {unclassified:?}");
    let unknown: Vec<_> = table.iter().filter(|op| !burn.contains(op)).collect();
    assert!(unknown.is_empty(), "not in Burn: {unknown:?}");
    assert_eq!(table, burn, "an operation has two classes");
}

#[test]
fn the_operations_of_the_class_refused_are_those_that_the_rules_refuse() {
    let all = all().into_iter().filter(|(group, ..)| *group != "Custom");
    let refusals: Vec<_> = all
        .map(|(group, name, op)| (group, name, refusal(&op), rules::name(&op)))
        .collect();
    for (group, name, refusal, text) in refusals {
        let expected = match class(group, name) {
            Some(Class::Refused(reason)) => Some(Refusal::new(reason)),
            _ => None,
        };
        assert_eq!(refusal, expected, "{group}::{name:?}");
        if let Some(name) = name {
            assert_eq!(text, format!("{group}::{name}"), "name in errors");
        }
    }
}

#[test]
fn the_page_of_operations_is_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/OPERATIONS.md");
    let text = format!(
        "# Operations\n\nEvery operation that Burn 0.22.1 can record, and its treatment.\n\
         `cargo test the_page_of_operations` compares this page with `burn_jvp::coverage`; \
         with `UPDATE_OPERATIONS=1` it writes the page.\n\n{}",
        markdown()
    );
    if std::env::var_os("UPDATE_OPERATIONS").is_some() {
        std::fs::write(path, &text).expect("the page");
    }
    let page = std::fs::read_to_string(path).expect("the page");
    assert_eq!(
        page, text,
        "OPERATIONS.md: UPDATE_OPERATIONS=1 cargo test the_page_of_operations"
    );
}
