//! ONNX Runtime, loaded at run time from a library that was found and tried before.
//!
//! A process holds one library and one environment for its whole life.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ::ort::environment::Environment;
use ::ort::session::Session;
use ::ort::value::{Outlet, TensorElementType, TensorRef, ValueType};

use super::model::Model;
use super::signature::{self, Port};
use super::{Backend, InferError, Tensor};

const NAME: &str = "ort";

/// The library of this process, once one was loaded.
static LOADED: Mutex<Option<(PathBuf, Environment)>> = Mutex::new(None);

struct OrtBackend {
    session: Session,
    output_names: Vec<String>,
}

pub(super) fn open(model: &Model, library: &Path, intra_threads: usize) -> Result<Box<dyn Backend>, InferError> {
    let environment = environment(library)?;
    let load = || -> ::ort::Result<Session> {
        Session::builder(&environment)?
            .with_intra_threads(intra_threads.max(1))?
            .with_inter_threads(1)?
            // Threads that spin while they wait take the core from the decoder.
            .with_intra_op_spinning(false)?
            .with_inter_op_spinning(false)?
            .commit_from_memory(model.bytes())
    };
    let session =
        load().map_err(|e| InferError::Load { backend: NAME, path: model.path.clone(), reason: e.to_string() })?;
    signature::check_inputs(&session.inputs().iter().map(port).collect::<Vec<_>>(), &model.spec)?;
    let output_names = session.outputs().iter().map(|output| output.name().to_owned()).collect();
    Ok(Box::new(OrtBackend { session, output_names }))
}

fn port(outlet: &Outlet) -> Port {
    let (is_float, sides) = match outlet.dtype() {
        ValueType::Tensor { ty, shape, .. } => {
            // An open side is -1.
            let sides = shape.iter().map(|side| usize::try_from(*side).ok()).collect();
            (*ty == TensorElementType::Float32, Some(sides))
        }
        _ => (false, None),
    };
    Port { name: outlet.name().to_owned(), is_float, sides }
}

fn environment(library: &Path) -> Result<Environment, InferError> {
    let unavailable = |reason: String| InferError::BackendUnavailable { backend: NAME, reason };
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((path, environment)) = &*loaded {
        return if path == library {
            Ok(environment.clone())
        } else {
            Err(unavailable(format!(
                "{} is loaded already and stays for this process; {} cannot be loaded beside it",
                path.display(),
                library.display()
            )))
        };
    }
    let environment = ::ort::init_from(library)
        .map_err(|e| unavailable(e.to_string()))?
        .with_name("umsicht")
        .with_telemetry(false)
        .build()
        .map_err(|e| unavailable(format!("{}: {e}", library.display())))?;
    *loaded = Some((library.to_owned(), environment.clone()));
    Ok(environment)
}

impl Backend for OrtBackend {
    fn name(&self) -> &'static str {
        NAME
    }

    fn output_names(&self) -> &[String] {
        &self.output_names
    }

    fn run(&mut self, input: &Tensor, outputs: &mut Vec<Tensor>) -> Result<(), InferError> {
        let mut run = || -> ::ort::Result<()> {
            let input = TensorRef::from_array_view((input.shape.as_slice(), input.data.as_slice()))?;
            let found = self.session.run(::ort::inputs![input])?;
            outputs.resize_with(found.len(), Tensor::default);
            for (output, value) in outputs.iter_mut().zip(found.values()) {
                let (shape, data) = value.try_extract_tensor::<f32>()?;
                output.copy_from(shape.iter().map(|&side| usize::try_from(side).unwrap_or(0)), data);
            }
            Ok(())
        };
        run().map_err(|e| InferError::Run { backend: NAME, reason: e.to_string() })
    }
}
