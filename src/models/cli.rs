//! `umsicht models …`

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;

use crate::edge::detector::Detector;
use crate::edge::infer::model::{MANIFEST, Manifest, Model};
use crate::edge::infer::provider::Provider;
use crate::edge::infer::{BackendChoice, BackendSettings, InferError, probe};
use crate::failure::Failure;
use crate::models::drive::cli::DriveArguments;
use crate::models::eval::score::Quality;
use crate::models::matching::Smallest;
use crate::models::sign::{KeygenArguments, SignArguments};
use crate::models::{bench, eval, sign, verify};

/// What trial operation means, for whoever installs a model.
const ON_TRIAL: &str = "not shown to reach F1 0.40 on a camera it never saw; people must check everything it reports";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Checks manifest, hashes, licences and cards, that both backends agree, and what each finds in its golden picture.
    Verify(VerifyArguments),
    /// Measures milliseconds per frame and memory of each backend on this machine.
    Bench(BenchArguments),
    /// Judges a model against labelled pictures: precision, recall, F1, AP50, AP50-95, what is taken for what.
    Eval(Box<EvalArguments>),
    /// Judges a road model on a labelled drive: damaged stretches of road with a sighting, sightings on damage.
    Drive(DriveArguments),
    /// Makes the pair of keys with which bundles of models are signed and checked.
    #[command(after_help = sign::KEYGEN_EXAMPLES)]
    Keygen(KeygenArguments),
    /// Verifies models and signs them as one bundle, which devices take by themselves.
    #[command(after_help = sign::SIGN_EXAMPLES)]
    Sign(SignArguments),
    /// Tries ONNX Runtime in this process; started by umsicht itself.
    #[command(hide = true)]
    Probe(ProbeArguments),
}

impl Command {
    pub fn run(self) -> Result<(), Failure> {
        match self {
            Self::Verify(arguments) => arguments.run(),
            Self::Bench(arguments) => arguments.run(),
            Self::Eval(arguments) => arguments.run(),
            Self::Drive(arguments) => arguments.run(),
            Self::Keygen(arguments) => arguments.run(),
            Self::Sign(arguments) => arguments.run(),
            Self::Probe(arguments) => arguments.run(),
        }
    }
}

/// How models run, where a command lets one choose.
#[derive(Debug, Args)]
pub struct RuntimeArguments {
    /// The library of ONNX Runtime, or a folder that holds it; else `ORT_DYLIB_PATH` or the usual places.
    #[arg(long, value_name = "PATH")]
    onnxruntime: Option<PathBuf>,
    /// Threads of ONNX Runtime.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    threads: u8,
    /// Execution providers of ONNX Runtime in order of preference, with commas between: cpu, xnnpack, acl, cuda, tensorrt,
    /// openvino. What the library lacks is skipped with a notice.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    providers: Vec<Provider>,
}

impl RuntimeArguments {
    pub fn settings(&self, choice: BackendChoice) -> BackendSettings {
        BackendSettings {
            choice,
            intra_threads: usize::from(self.threads),
            onnxruntime: self.onnxruntime.clone(),
            providers: self.providers.clone(),
            probe_program: None,
        }
    }
}

/// Which model is judged.
#[derive(Debug, Args)]
pub struct ModelArguments {
    /// A model's name in the manifest, or the path of its file beside one.
    #[arg(long, value_name = "NAME|FILE")]
    model: String,
    /// Folder with manifest.toml and the model files.
    #[arg(long, value_name = "DIR", default_value = "models")]
    models: PathBuf,
}

impl ModelArguments {
    pub fn open(&self, settings: &BackendSettings) -> Result<Detector, Failure> {
        let (folder, name) = self.located()?;
        Ok(Detector::open_with(&folder, &name, settings)?)
    }

    /// Folder and name; a path to a file is looked up in the manifest beside it.
    fn located(&self) -> Result<(PathBuf, String), Failure> {
        let path = Path::new(&self.model);
        if path.extension().is_none_or(|ending| ending != "onnx") {
            return Ok((self.models.clone(), self.model.clone()));
        }
        let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let manifest = Manifest::read(folder).map_err(InferError::from)?;
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        match manifest.models.iter().find(|model| model.file == file) {
            Some(model) => Ok((folder.to_owned(), model.name.clone())),
            None => Err(Failure::usage(format!(
                "{}: {} has no entry for it",
                path.display(),
                folder.join(MANIFEST).display()
            ))),
        }
    }
}

#[derive(Debug, Args)]
pub struct VerifyArguments {
    /// Folder with manifest.toml and the model files.
    #[arg(long, value_name = "DIR", default_value = "models")]
    models: PathBuf,
    /// Writes what each model finds in its golden picture now, before it checks.
    #[arg(long)]
    renew_golden: bool,
    /// Prints the result as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    runtime: RuntimeArguments,
}

impl VerifyArguments {
    fn run(self) -> Result<(), Failure> {
        let settings = self.runtime.settings(BackendChoice::Auto);
        if self.renew_golden {
            let renewed = verify::renew_golden(&self.models, &settings).map_err(Failure::data)?;
            for line in renewed {
                eprintln!("golden picture renewed: {line}");
            }
        }
        let findings = verify::verify(&self.models, &settings).map_err(InferError::from)?;
        if self.json {
            print_json(&findings)?;
        } else {
            for model in &findings.models {
                println!("{} {} ({}) {}", model.name, model.version, model.licence, model.sha256);
                match (&model.worst_difference, &model.not_compared) {
                    (Some(worst), _) => println!("  ort and tract differ by at most {worst:.1e}"),
                    (None, Some(why)) => println!("  ort and tract were NOT compared: {why}"),
                    (None, None) => {}
                }
                if let Some(why) = &model.not_looked {
                    println!("  no golden picture was looked at: {why}");
                }
                if model.on_trial {
                    println!("  TRIAL OPERATION: {ON_TRIAL}");
                }
                model.problems.iter().for_each(|problem| println!("  wrong: {problem}"));
            }
            findings.problems.iter().for_each(|problem| println!("wrong: {problem}"));
        }
        match findings.problems() {
            0 => Ok(()),
            n => Err(Failure::data(format!("{}: {n} problem(s) with the models, named above", self.models.display()))),
        }
    }
}

#[derive(Debug, Args)]
pub struct BenchArguments {
    /// Folder with manifest.toml and the model files.
    #[arg(long, value_name = "DIR", default_value = "models")]
    models: PathBuf,
    /// Only this model.
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..))]
    frames: u16,
    /// Threads of ONNX Runtime, one after the other, with commas between; tract runs on one.
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "1", value_parser = clap::value_parser!(u8).range(1..=64))]
    threads: Vec<u8>,
    /// The library of ONNX Runtime, or a folder that holds it; else `ORT_DYLIB_PATH` or the usual places.
    #[arg(long, value_name = "PATH")]
    onnxruntime: Option<PathBuf>,
    /// Execution providers of ONNX Runtime to measure, each for itself, with commas between: cpu, xnnpack, acl, cuda,
    /// tensorrt, openvino. What the library lacks is said.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', default_value = "cpu")]
    providers: Vec<Provider>,
    /// Prints the result as JSON.
    #[arg(long)]
    json: bool,
    /// Measures one backend in this process; started by umsicht itself.
    #[arg(long, hide = true, value_enum, requires = "model")]
    here: Option<BackendArgument>,
}

impl BenchArguments {
    fn run(self) -> Result<(), Failure> {
        let frames = usize::from(self.frames);
        let threads: Vec<usize> = self.threads.iter().map(|threads| usize::from(*threads)).collect();
        if let (Some(backend), Some(model)) = (self.here, &self.model) {
            let settings = BackendSettings {
                choice: backend.choice(),
                intra_threads: threads[0],
                providers: self.providers,
                onnxruntime: self.onnxruntime,
                probe_program: None,
            };
            return print_json(&bench::here(&self.models, model, frames, &settings)?);
        }
        let job = bench::Job {
            folder: self.models,
            model: self.model,
            frames,
            threads,
            providers: self.providers,
            onnxruntime: self.onnxruntime,
        };
        let program = std::env::current_exe().map_err(Failure::bug)?;
        let timings = bench::bench(&job, &program).map_err(|error| match error {
            bench::BenchError::Infer(error) => error.into(),
            child @ bench::BenchError::Child { .. } => Failure::data(child),
        })?;
        if self.json {
            return print_json(&serde_json::json!({ "timings": timings }));
        }
        timings.iter().for_each(print_timing);
        Ok(())
    }
}

fn print_timing(t: &bench::Timing) {
    let head = format!("{:10} {:12} {:2} thread(s)", t.model, t.backend, t.threads);
    match (&t.frame_milliseconds, &t.network_milliseconds) {
        (Some(frame), Some(network)) => println!(
            "{head}  frame {:6.1} ms (95 %: {:6.1})  network alone {:6.1} ms (95 %: {:6.1})  memory {}",
            frame.median,
            frame.p95,
            network.median,
            network.p95,
            t.peak_memory_bytes.map_or_else(|| "unknown".into(), |bytes| format!("{} MiB", bytes >> 20))
        ),
        _ => println!("{head}  {}", t.unavailable.as_deref().unwrap_or("did not run")),
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum MatchArgument {
    /// The class must be the labelled one.
    Exact,
    /// Classes of one group in the manifest count as one.
    Group,
    /// All classes count as one.
    Any,
    /// A labelled region counts as found when the masks as shipped cover 90 % of it.
    Cover,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum BackendArgument {
    Auto,
    Ort,
    Tract,
}

impl BackendArgument {
    pub fn choice(self) -> BackendChoice {
        match self {
            Self::Auto => BackendChoice::Auto,
            Self::Ort => BackendChoice::Ort,
            Self::Tract => BackendChoice::Tract,
        }
    }
}

#[derive(Debug, Args)]
pub struct EvalArguments {
    #[command(flatten)]
    model: ModelArguments,
    /// Folder of pictures: jpg, png, webp.
    #[arg(long, value_name = "DIR")]
    images: PathBuf,
    /// Folder of YOLO text labels: `class cx cy w h`, as parts of the picture's sides.
    #[arg(long, value_name = "DIR")]
    labels: PathBuf,
    /// Names of the labels' classes, one per line.
    #[arg(long, value_name = "FILE")]
    classes: PathBuf,
    /// Labels whose boxes are neither found nor missed.
    #[arg(long, value_name = "DIR")]
    ignore_labels: Option<PathBuf>,
    /// CSV with the columns `file`, `group` and perhaps `source`: intervals draw whole groups, and each is scored by itself.
    #[arg(long, value_name = "FILE")]
    groups: Option<PathBuf>,
    /// When a found class counts as the labelled one.
    #[arg(long = "match", value_name = "HOW", value_enum, default_value_t = MatchArgument::Exact)]
    matching: MatchArgument,
    /// Only these classes, with commas between.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    only: Vec<String>,
    /// Labelled classes that are not judged, with commas between.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    ignore_classes: Vec<String>,
    /// Labelled boxes with a shorter side below this, in pixels of the picture, are neither found nor missed.
    #[arg(long, value_name = "N", default_value_t = 0.0)]
    min_side_px: f32,
    /// Labelled boxes narrower than this, in pixels of the picture, are neither found nor missed.
    #[arg(long, value_name = "N", default_value_t = 0.0)]
    min_width_px: f32,
    /// Overlap (intersection over union) from which a box counts as found; AP50 always uses 0.5.
    #[arg(long, value_name = "0..1", default_value_t = 0.5)]
    iou: f32,
    /// Folder of palette PNGs that show the damages' extent: 1 crack, 2 pothole; named as the pictures.
    #[arg(long, value_name = "DIR")]
    masks: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t = BackendArgument::Auto)]
    backend: BackendArgument,
    /// Prints the result as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    runtime: RuntimeArguments,
}

impl EvalArguments {
    fn run(self) -> Result<(), Failure> {
        let matching = match self.matching {
            MatchArgument::Exact => eval::Match::Exact,
            MatchArgument::Group => eval::Match::Group,
            MatchArgument::Any => eval::Match::Any,
            MatchArgument::Cover => eval::Match::Cover,
        };
        if !(self.iou > 0.0 && self.iou <= 1.0) {
            return Err(Failure::usage(format!("--iou {} must lie above 0 and up to 1", self.iou)));
        }
        for (option, px) in [("--min-side-px", self.min_side_px), ("--min-width-px", self.min_width_px)] {
            if !(px >= 0.0 && px.is_finite()) {
                return Err(Failure::usage(format!("{option} {px} must be 0 or more")));
            }
        }
        let mut detector = self.model.open(&self.runtime.settings(self.backend.choice()))?;
        let task = eval::Task {
            images: self.images,
            labels: self.labels,
            classes: self.classes,
            ignore_labels: self.ignore_labels,
            groups: self.groups,
            matching,
            drawn_masks: self.masks,
            only: self.only,
            ignore_classes: self.ignore_classes,
            smallest: Smallest { side_px: self.min_side_px, width_px: self.min_width_px },
            min_iou: self.iou,
        };
        let report = eval::evaluate(&mut detector, &task)?;
        if self.json {
            return print_json(&report);
        }
        print_report(&report);
        Ok(())
    }
}

fn print_report(report: &eval::Report) {
    println!("{} {} on {}, {} pictures", report.model.name, report.model.version, report.backend, report.pictures);
    println!(
        "{:16} {:>8} {:>6} {:>9} {:>6} {:>9} {:>6} {:>8}",
        "", "labelled", "F1", "precision", "recall", "threshold", "AP50", "AP50-95"
    );
    print_row("all", &report.overall);
    for (title, rows) in [("", &report.classes), ("by source:", &report.sources), ("by group:", &report.groups)] {
        if !title.is_empty() && !rows.is_empty() {
            println!("{title}");
        }
        for (row, quality) in rows {
            print_row(row, quality);
        }
    }
    let shipped = &report.overall.shipped;
    println!(
        "as shipped, at {}: F1 {:.3}, precision {:.3}, recall {:.3}",
        shipped.threshold, shipped.f1, shipped.precision, shipped.recall
    );
    if let Some(of) = &report.overall.interval_95 {
        let (drawn, units) = (report.bootstrap.unit, report.bootstrap.units);
        println!(
            "95 % intervals over {units} {drawn}s: F1 {:.3}–{:.3}, as shipped {:.3}–{:.3}, AP50 {:.3}–{:.3}, AP50-95 {:.3}–{:.3}",
            of.f1.0, of.f1.1, of.shipped_f1.0, of.shipped_f1.1, of.ap50.0, of.ap50.1, of.ap50_95.0, of.ap50_95.1
        );
    }
    if let Some(cover) = &report.overall.cover {
        println!(
            "covered: {} of {} regions, with 95 % confidence at least {:.3}; masked elsewhere: {:.3} of the pixels",
            cover.covered,
            cover.regions,
            cover.lower_bound_95,
            cover.masked_elsewhere.unwrap_or_default()
        );
    }
    if let Some(mask) = &report.mask {
        println!(
            "extent, {} pictures: cell F1 {:.3}, precision {:.3}, recall {:.3}, 95 % of the samples reach {:.3}",
            mask.pictures,
            mask.cell_f1,
            mask.precision,
            mask.recall,
            mask.lower_bound_95.unwrap_or_default()
        );
    }
    println!("as shipped, labelled → found:");
    for (labelled, found) in &report.confusion {
        let found: Vec<String> = found.iter().map(|(class, boxes)| format!("{class} {boxes}")).collect();
        println!("  {labelled:14} → {}", found.join(", "));
    }
}

fn print_row(name: &str, quality: &Quality) {
    println!(
        "{name:16} {:>8} {:>6.3} {:>9.3} {:>6.3} {:>9.3} {:>6.3} {:>8.3}",
        quality.labelled,
        quality.best.f1,
        quality.best.precision,
        quality.best.recall,
        quality.best.threshold,
        quality.ap50,
        quality.ap50_95
    );
}

#[derive(Debug, Args)]
pub struct ProbeArguments {
    #[arg(long)]
    library: PathBuf,
    #[arg(long)]
    models: PathBuf,
    #[arg(long)]
    model: String,
    #[arg(long, default_value_t = 1)]
    threads: usize,
    #[arg(long, value_delimiter = ',')]
    providers: Vec<Provider>,
}

impl ProbeArguments {
    fn run(self) -> Result<(), Failure> {
        let model = Model::read(&self.models, &self.model).map_err(InferError::from)?;
        let (providers, intra_threads) = (self.providers.as_slice(), self.threads);
        probe::run(&probe::Job { library: &self.library, model: &model, providers, intra_threads })?;
        println!("{}", probe::WORD);
        Ok(())
    }
}

pub fn print_json(result: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(result).map_err(Failure::bug)?;
    writeln!(std::io::stdout(), "{text}").map_err(|e| Failure::unavailable(format!("stdout: {e}")))
}
