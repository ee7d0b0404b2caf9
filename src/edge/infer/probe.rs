//! Tries ONNX Runtime in a child process first: on some Arm boards it dies of SIGILL or aborts, which no error handling catches.
//!
//! The child is this same program with a hidden subcommand; it loads the library and the model, runs it once and says so on
//! its stdout. Only that word counts, so that any other program in its place is a failure and never a success.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use super::model::Model;
use super::provider::Provider;
use super::{InferError, Tensor, open_ort_unprobed};

/// What the child prints when the model ran.
pub const WORD: &str = "onnxruntime-works";
/// Loading takes under a second on a workstation, and a few on a small board with a cold card.
const PATIENCE: Duration = Duration::from_mins(1);

/// What is to be tried.
pub struct Job<'a> {
    pub library: &'a Path,
    pub model: &'a Model,
    pub providers: &'a [Provider],
    pub intra_threads: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    #[error("{0} is not umsicht, so ONNX Runtime cannot be tried in a process of its own; name the umsicht program")]
    NoProgram(String),
    #[error("{}: {reason}", program.display())]
    NotStarted { program: PathBuf, reason: String },
    #[error("{} did not pass its trial run: {reason}", library.display())]
    Failed { library: PathBuf, reason: String },
}

/// Arguments of the hidden subcommand, as `models::cli` reads them.
pub fn arguments(job: &Job<'_>) -> Vec<std::ffi::OsString> {
    let threads = job.intra_threads.to_string();
    let mut arguments: Vec<std::ffi::OsString> = ["models", "probe", "--library"].map(Into::into).into();
    arguments.push(job.library.into());
    arguments.push("--models".into());
    arguments.push(job.model.folder.clone().into());
    arguments.extend(["--model".into(), job.model.spec.name.clone().into(), "--threads".into(), threads.into()]);
    if !job.providers.is_empty() {
        arguments.extend(["--providers".into(), Provider::list(job.providers).into()]);
    }
    arguments
}

/// Runs the job in a child process and waits for it.
pub fn in_child(job: &Job<'_>, program: Option<&Path>) -> Result<(), ProbeError> {
    let program = match program {
        Some(program) => program.to_owned(),
        None => running_umsicht()?,
    };
    let failed = |reason: String| ProbeError::Failed { library: job.library.to_owned(), reason };
    let mut child = Command::new(&program)
        .args(arguments(job))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| ProbeError::NotStarted { program: program.clone(), reason: e.to_string() })?;
    let status = wait(&mut child).map_err(&failed)?;
    let said = read(child.stdout.take());
    if status.success() && said.lines().any(|line| line == WORD) {
        return Ok(());
    }
    let complaint = read(child.stderr.take());
    let last = complaint.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
    Err(failed(format!("{}: {last}", ended(status))))
}

/// The child's part: loads and runs once on a grey picture.
pub fn run(job: &Job<'_>) -> Result<(), InferError> {
    let mut backend = open_ort_unprobed(job.model, job.library, job.providers, job.intra_threads)?;
    let input = Tensor::filled(&job.model.spec.input_shape(), 0.5);
    backend.run(&input, &mut Vec::new())
}

fn running_umsicht() -> Result<PathBuf, ProbeError> {
    let program = env::current_exe().map_err(|e| ProbeError::NoProgram(e.to_string()))?;
    // Any other program, a test for one, would take the arguments for something else.
    if program.file_stem().is_some_and(|name| name == "umsicht") {
        Ok(program)
    } else {
        Err(ProbeError::NoProgram(program.display().to_string()))
    }
}

fn wait(child: &mut Child) -> Result<ExitStatus, String> {
    let started = Instant::now();
    loop {
        match child.try_wait().map_err(|e| e.to_string())? {
            Some(status) => return Ok(status),
            None if started.elapsed() < PATIENCE => thread::sleep(Duration::from_millis(10)),
            None => {
                // It may have ended just now; either way it is gone afterwards.
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("it did not end within {} s", PATIENCE.as_secs()));
            }
        }
    }
}

fn ended(status: ExitStatus) -> String {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return format!("it died of signal {signal}");
    }
    format!("it ended with {status}")
}

/// What is in a pipe; the child is gone and says little, so nothing blocks and nothing was lost.
fn read(pipe: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        // An unreadable pipe is as good as an empty one: the word is missing then.
        let _ = pipe.take(64 * 1024).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
