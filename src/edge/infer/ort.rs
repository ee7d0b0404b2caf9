//! ONNX Runtime, loaded at run time from a library that was found and tried before.
//!
//! A process holds one library and one environment for its whole life.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ::ort::environment::Environment;
use ::ort::ep::{self, ExecutionProvider};
use ::ort::session::Session;
use ::ort::session::builder::SessionBuilder;
use ::ort::value::{Outlet, TensorElementType, TensorRef, ValueType};

use super::model::Model;
use super::provider::Provider;
use super::signature::{self, Port};
use super::{Backend, InferError, Tensor};

const NAME: &str = "ort";

/// The library of this process, once one was loaded.
static LOADED: Mutex<Option<(PathBuf, Environment)>> = Mutex::new(None);

struct OrtBackend {
    session: Session,
    output_names: Vec<String>,
    provider: Provider,
}

/// With the first of the providers that this library has and that takes the model; with the processor when none does.
pub(super) fn open(
    model: &Model,
    library: &Path,
    providers: &[Provider],
    intra_threads: usize,
) -> Result<Box<dyn Backend>, InferError> {
    let environment = environment(library)?;
    for &provider in providers.iter().take_while(|provider| **provider != Provider::Cpu) {
        match open_with(model, &environment, provider, intra_threads) {
            Ok(backend) => return Ok(backend),
            Err(error) => tracing::warn!(model = model.spec.name, "{provider} is skipped: {error}"),
        }
    }
    open_with(model, &environment, Provider::Cpu, intra_threads)
}

fn open_with(
    model: &Model,
    environment: &Environment,
    provider: Provider,
    intra_threads: usize,
) -> Result<Box<dyn Backend>, InferError> {
    let load = || -> ::ort::Result<Session> {
        let mut builder = Session::builder(environment)?;
        register(provider, &mut builder, intra_threads)?;
        builder
            .with_intra_threads(intra_threads.max(1))?
            .with_inter_threads(1)?
            // Threads that spin while they wait take the core from the decoder.
            .with_intra_op_spinning(false)?
            .with_inter_op_spinning(false)?
            .commit_from_memory(model.bytes())
    };
    let session = load().map_err(|e| InferError::Load {
        backend: provider.backend_name(),
        path: model.path.clone(),
        reason: e.to_string(),
    })?;
    signature::check_inputs(&session.inputs().iter().map(port).collect::<Vec<_>>(), &model.spec)?;
    let output_names = session.outputs().iter().map(|output| output.name().to_owned()).collect();
    Ok(Box::new(OrtBackend { session, output_names, provider }))
}

/// An error when the library lacks the provider or it does not start.
fn register(provider: Provider, builder: &mut SessionBuilder, intra_threads: usize) -> ::ort::Result<()> {
    match provider {
        Provider::Cpu => Ok(()),
        Provider::Xnnpack => {
            let threads = NonZeroUsize::new(intra_threads).unwrap_or(NonZeroUsize::MIN);
            register_this(&ep::XNNPACK::default().with_intra_op_num_threads(threads), builder)
        }
        Provider::Acl => register_this(&ep::ACL::default(), builder),
        Provider::Cuda => register_this(&ep::CUDA::default(), builder),
        Provider::TensorRt => register_this(&ep::TensorRT::default(), builder),
        Provider::OpenVino => register_this(&ep::OpenVINO::default(), builder),
    }
}

fn register_this<P: ExecutionProvider>(provider: &P, builder: &mut SessionBuilder) -> ::ort::Result<()> {
    if !P::is_available()? {
        return Err(::ort::Error::new(format!("this libonnxruntime was built without {}", P::NAME)));
    }
    provider.register(builder)
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
        self.provider.backend_name()
    }

    fn output_names(&self) -> &[String] {
        &self.output_names
    }

    fn run(&mut self, input: &Tensor, outputs: &mut Vec<Tensor>) -> Result<(), InferError> {
        let backend = self.provider.backend_name();
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
        run().map_err(|e| InferError::Run { backend, reason: e.to_string() })
    }
}
