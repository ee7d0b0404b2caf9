//! tract: pure Rust, runs wherever this program runs.

use tract_onnx::pb::{GraphProto, ValueInfoProto, tensor_proto, tensor_shape_proto, type_proto};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::knobs::KnobScope;

use super::model::Model;
use super::signature::{self, Port};
use super::{Backend, InferError, Tensor};

const NAME: &str = "tract";
/// Its direct convolution takes four times as long as the matrix product on the strided 3×3 layers at the start of a network.
const KNOBS: [(&str, &str); 1] = [("TRACT_DISABLE_DIRECT_SPATIAL", "true")];

struct TractBackend {
    plan: Arc<TypedRunnableModel>,
    output_names: Vec<String>,
}

pub(super) fn open(model: &Model) -> Result<Box<dyn Backend>, InferError> {
    let refused =
        |e: TractError| InferError::Load { backend: NAME, path: model.path.clone(), reason: format!("{e:#}") };
    let file = tract_onnx::onnx().proto_model_for_read(&mut model.bytes()).map_err(refused)?;
    let Some(graph) = &file.graph else { return Err(refused(TractError::msg("there is no graph in it"))) };
    signature::check_inputs(&inputs(graph), &model.spec)?;
    let load = || -> TractResult<Arc<TypedRunnableModel>> {
        tract_onnx::onnx()
            .model_for_proto_model(&file)?
            .with_input_fact(0, f32::fact(model.spec.input_shape()).into())?
            .into_optimized()?
            .into_runnable()
    };
    let output_names = graph.output.iter().map(|output| output.name.clone()).collect();
    let plan = KnobScope::new(KNOBS).and_then(|knobs| knobs.enter(load)).map_err(refused)?;
    Ok(Box::new(TractBackend { plan, output_names }))
}

/// What must be fed: older files list their constants among the inputs.
fn inputs(graph: &GraphProto) -> Vec<Port> {
    let is_constant = |input: &&ValueInfoProto| graph.initializer.iter().any(|constant| constant.name == input.name);
    graph.input.iter().filter(|input| !is_constant(input)).map(port).collect()
}

fn port(input: &ValueInfoProto) -> Port {
    let described = input.r#type.as_ref().and_then(|kind| kind.value.as_ref());
    let tensor = described.map(|type_proto::Value::TensorType(tensor)| tensor);
    let side = |dimension: &tensor_shape_proto::Dimension| match dimension.value {
        Some(tensor_shape_proto::dimension::Value::DimValue(side)) => usize::try_from(side).ok(),
        _ => None,
    };
    Port {
        name: input.name.clone(),
        is_float: tensor.is_none_or(|tensor| tensor.elem_type == tensor_proto::DataType::Float as i32),
        sides: tensor.and_then(|t| t.shape.as_ref()).map(|shape| shape.dim.iter().map(side).collect()),
    }
}

impl Backend for TractBackend {
    fn name(&self) -> &'static str {
        NAME
    }

    fn output_names(&self) -> &[String] {
        &self.output_names
    }

    fn run(&mut self, input: &Tensor, outputs: &mut Vec<Tensor>) -> Result<(), InferError> {
        let mut run = || -> TractResult<()> {
            let input = tract_onnx::prelude::Tensor::from_shape(&input.shape, &input.data)?;
            let found = self.plan.run(tvec!(input.into_tvalue()))?;
            outputs.resize_with(found.len(), Tensor::default);
            for (output, found) in outputs.iter_mut().zip(&found) {
                let view = found.to_plain_array_view::<f32>()?;
                match view.as_slice() {
                    Some(data) => output.copy_from(view.shape().iter().copied(), data),
                    None => {
                        let data: Vec<f32> = view.iter().copied().collect();
                        output.copy_from(view.shape().iter().copied(), &data);
                    }
                }
            }
            Ok(())
        };
        run().map_err(|e| InferError::Run { backend: NAME, reason: format!("{e:#}") })
    }
}
