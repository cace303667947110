//! Classification of every operation that Burn can record.
//!
//! [`OPERATIONS`] is tested against Burn's own list of operations and against the rules: a row that is missing, of too
//! many, or not what the rules do is an error of the tests.

#[cfg(test)]
mod synthesis;
#[cfg(test)]
mod tests;

use crate::rules::refusals;
use std::fmt;

/// The treatment of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The derivative is computed.
    Differentiated,
    /// The function is piecewise constant, so that the derivative is zero.
    PiecewiseConstant,
    /// The inputs or the outputs are integers, booleans or constants, which have no derivative.
    NoTangent,
    /// The operation is an error, for this reason.
    Refused(&'static str),
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Differentiated => f.write_str("differentiated"),
            Self::PiecewiseConstant => f.write_str("piecewise constant"),
            Self::NoTangent => f.write_str("without tangent"),
            Self::Refused(reason) => write!(f, "refused: {reason}"),
        }
    }
}

/// Operations of one group in one class.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Group, a variant of [`OperationIr`](burn::backend::ir::OperationIr).
    pub group: &'static str,
    /// Class of the operations.
    pub class: Class,
    /// Names of the operations, which are variants of the group. Empty for a group that is one operation.
    pub operations: &'static [&'static str],
}

const fn row(group: &'static str, class: Class, operations: &'static [&'static str]) -> Row {
    Row {
        group,
        class,
        operations,
    }
}

use Class::{Differentiated, NoTangent, PiecewiseConstant, Refused};

/// All operations of Burn 0.22.1.
#[rustfmt::skip]
pub const OPERATIONS: &[Row] = &[
    row("BaseFloat", Differentiated, &[
        "Reshape", "SwapDims", "Permute", "Flip", "Expand", "Unfold", "Slice", "SliceAssign", "Select", "SelectAssign",
        "MaskWhere", "MaskFill", "Gather", "Scatter", "ScatterNd", "GatherNd", "RepeatDim", "Cat", "Cast",
    ]),
    row("BaseFloat", NoTangent, &[
        "Equal", "EqualElem", "NotEqual", "NotEqualElem", "All", "Any", "AllDim", "AnyDim", "Empty", "Ones", "Zeros",
    ]),
    row("NumericFloat", Differentiated, &[
        "Add", "AddScalar", "Sub", "SubScalar", "Div", "DivScalar", "Rem", "RemScalar", "Mul", "MulScalar", "Abs",
        "MeanDim", "Mean", "Sum", "SumDim", "SumDims", "Prod", "ProdDim", "TopK", "TopKWithIndices", "Max",
        "MaxDimWithIndices", "MinDimWithIndices", "Min", "MaxDim", "MinDim", "MaxAbs", "MaxAbsDim", "Clamp", "Powi",
        "PowiScalar", "CumSum", "CumProd", "CumMin", "CumMax", "Neg", "ClampMin", "ClampMax", "Sort",
        "SortWithIndices", "Pad",
    ]),
    row("NumericFloat", PiecewiseConstant, &["Sign"]),
    row("NumericFloat", NoTangent, &[
        "Full", "Greater", "GreaterElem", "GreaterEqual", "GreaterEqualElem", "Lower", "LowerElem", "LowerEqual",
        "LowerEqualElem", "ArgMax", "ArgTopK", "ArgMin", "ArgSort",
    ]),
    row("NumericFloat", Refused(refusals::RANDOM), &["IntRandom"]),
    row("Float", Differentiated, &[
        "Exp", "Log", "Log1p", "Erf", "PowfScalar", "Sqrt", "Cos", "Cosh", "Sin", "Sinh", "Tan", "Tanh", "ArcCos",
        "ArcCosh", "ArcSin", "ArcSinh", "ArcTan", "ArcTanh", "ArcTan2", "Matmul", "Cross", "Recip", "GridSample2d",
        "Powf", "Hypot",
    ]),
    row("Float", PiecewiseConstant, &["Round", "Floor", "Ceil", "Trunc"]),
    row("Float", NoTangent, &["IntoInt", "IsNan", "IsInf"]),
    row("Float", Refused(refusals::RANDOM), &["Random"]),
    row("Float", Refused(refusals::QUANTIZE), &["Quantize"]),
    row("Float", Refused(refusals::DEQUANTIZE), &["Dequantize"]),
    row("Activation", Differentiated, &[
        "Relu", "ReluBackward", "LeakyRelu", "PRelu", "Gelu", "GeluBackward", "Sigmoid", "SigmoidBackward",
        "HardSigmoid", "LogSigmoid", "LogSigmoidBackward", "Softmax", "LogSoftmax", "Softmin",
    ]),
    row("Module", Differentiated, &[
        "BatchNorm", "Embedding", "EmbeddingBackward", "Linear", "LinearXBackward", "LinearWeightBackward",
        "LinearBiasBackward", "Conv1d", "Conv1dXBackward", "Conv1dWeightBackward", "Conv1dBiasBackward", "Conv2d",
        "Conv2dXBackward", "Conv2dWeightBackward", "Conv2dBiasBackward", "Conv3d", "Conv3dXBackward",
        "Conv3dWeightBackward", "Conv3dBiasBackward", "DeformableConv2d", "DeformableConv2dBackward", "ConvTranspose1d",
        "ConvTranspose1dWeightBackward", "ConvTranspose1dBiasBackward", "ConvTranspose2d",
        "ConvTranspose2dWeightBackward", "ConvTranspose2dBiasBackward", "ConvTranspose3d",
        "ConvTranspose3dWeightBackward", "ConvTranspose3dBiasBackward", "AvgPool1d", "AvgPool1dBackward", "AvgPool2d",
        "AvgPool2dBackward", "AdaptiveAvgPool1d", "AdaptiveAvgPool1dBackward", "AdaptiveAvgPool2d",
        "AdaptiveAvgPool2dBackward", "AdaptiveAvgPool3d", "AdaptiveAvgPool3dBackward", "MaxPool1d",
        "MaxPool1dWithIndices", "MaxPool1dWithIndicesBackward", "MaxPool2d", "MaxPool2dWithIndices",
        "MaxPool2dWithIndicesBackward", "Interpolate", "InterpolateBackward", "Attention", "LayerNorm", "Unfold4d",
    ]),
    row("Module", Refused(refusals::CTC), &["CtcLoss", "CtcLossBackward"]),
    row("BaseInt", NoTangent, &[
        "Reshape", "SwapDims", "Permute", "Flip", "Expand", "Unfold", "Slice", "SliceAssign", "Select", "SelectAssign",
        "MaskWhere", "MaskFill", "Gather", "Scatter", "ScatterNd", "GatherNd", "Equal", "EqualElem", "RepeatDim",
        "Cat", "Cast", "Empty", "Ones", "Zeros", "NotEqual", "NotEqualElem", "All", "Any", "AllDim", "AnyDim",
    ]),
    row("NumericInt", NoTangent, &[
        "Add", "AddScalar", "Sub", "SubScalar", "Div", "DivScalar", "Rem", "RemScalar", "Mul", "MulScalar", "Abs",
        "Full", "MeanDim", "Mean", "Sum", "SumDim", "SumDims", "Prod", "ProdDim", "Greater", "GreaterElem",
        "GreaterEqual", "GreaterEqualElem", "Lower", "LowerElem", "LowerEqual", "LowerEqualElem", "ArgMax", "ArgTopK",
        "TopK", "TopKWithIndices", "ArgMin", "Max", "MaxDimWithIndices", "MinDimWithIndices", "Min", "MaxDim",
        "MinDim", "MaxAbs", "MaxAbsDim", "Clamp", "Powi", "PowiScalar", "CumSum", "CumProd", "CumMin", "CumMax",
        "Neg", "Sign", "ClampMin", "ClampMax", "Sort", "SortWithIndices", "ArgSort", "Pad",
    ]),
    row("NumericInt", Refused(refusals::RANDOM), &["IntRandom"]),
    row("Int", NoTangent, &[
        "IntoFloat", "BitwiseAnd", "BitwiseAndScalar", "BitwiseOr", "BitwiseOrScalar", "BitwiseXor",
        "BitwiseXorScalar", "BitwiseNot", "BitwiseLeftShift", "BitwiseLeftShiftScalar", "BitwiseRightShift",
        "BitwiseRightShiftScalar", "Matmul",
    ]),
    row("BaseBool", NoTangent, &[
        "Reshape", "SwapDims", "Permute", "Flip", "Expand", "Unfold", "Slice", "SliceAssign", "Select", "SelectAssign",
        "MaskWhere", "MaskFill", "Gather", "Scatter", "Equal", "EqualElem", "RepeatDim", "Cat", "Empty", "Ones",
        "Zeros", "NotEqual", "NotEqualElem", "All", "Any", "AllDim", "AnyDim",
    ]),
    row("BaseBool", Refused(refusals::NOT_OF_BOOLEANS), &["ScatterNd", "GatherNd", "Cast"]),
    row("Bool", NoTangent, &["IntoFloat", "IntoInt", "Not", "And", "Or", "Xor"]),
    row("Distributed", Refused(refusals::DISTRIBUTED), &["AllReduce", "SyncCollective"]),
    // By the rule that its crate registers.
    row("Custom", Differentiated, &[]),
    // The beginning and the end of a tensor, which are no operations of the function.
    row("Init", NoTangent, &[]),
    row("Drop", NoTangent, &[]),
];

/// [`OPERATIONS`] as a table in Markdown.
pub fn markdown() -> String {
    let mut text = String::from("| group | class | operations |\n| --- | --- | --- |\n");
    for row in OPERATIONS {
        let operations: Vec<String> = row.operations.iter().map(|o| format!("`{o}`")).collect();
        let operations = operations.join(", ");
        text += &format!("| `{}` | {} | {operations} |\n", row.group, row.class);
    }
    text
}

#[cfg(test)]
/// The class of an operation.
fn class(group: &str, operation: Option<&str>) -> Option<Class> {
    let named = |row: &&Row| match operation {
        Some(operation) => row.operations.contains(&operation),
        None => row.operations.is_empty(),
    };
    let mut rows = OPERATIONS.iter().filter(|row| row.group == group);
    rows.find(named).map(|row| row.class)
}
