//! tract: pure Rust, runs wherever this program runs.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::knobs::KnobScope;

use super::model::Model;
use super::{Backend, InferError, Tensor};

const NAME: &str = "tract";
/// Its direct convolution takes four times as long as the matrix product on the strided 3×3 layers at the start of a network.
const KNOBS: [(&str, &str); 1] = [("TRACT_DISABLE_DIRECT_SPATIAL", "true")];

struct TractBackend {
    plan: Arc<TypedRunnableModel>,
}

pub(super) fn open(model: &Model) -> Result<Box<dyn Backend>, InferError> {
    let shape = model.spec.input_shape();
    let load = || -> TractResult<Arc<TypedRunnableModel>> {
        tract_onnx::onnx()
            .model_for_read(&mut model.bytes())?
            .with_input_fact(0, f32::fact(shape).into())?
            .into_optimized()?
            .into_runnable()
    };
    let plan = KnobScope::new(KNOBS).and_then(|knobs| knobs.enter(load)).map_err(|e| InferError::Load {
        backend: NAME,
        path: model.path.clone(),
        reason: format!("{e:#}"),
    })?;
    Ok(Box::new(TractBackend { plan }))
}

impl Backend for TractBackend {
    fn name(&self) -> &'static str {
        NAME
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
