//! What a picture costs on its way from a video file to RGB, in CPU time of the whole process.
//!
//!     cargo bench --bench pictures -- VIDEO [PICTURES]
//!
//! Prints JSON, milliseconds a picture: `decode` throws the decoder's pictures away; `decode_convert_copy` converts in the
//! pipeline and copies the rows, as is common; `source` is the program's own way. Three rounds each, the best counts.

#![allow(clippy::unwrap_used, reason = "a trial that cannot go on stops where it is")]

use std::path::Path;
use std::time::Duration;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::AppSink;
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;
use umsicht::edge::source::{self, SourceConfig};

const ROUNDS: usize = 3;

fn main() {
    // Cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let video = arguments.first().expect("name a video");
    let pictures: usize = arguments.get(1).map_or(600, |count| count.parse().unwrap());
    gst::init().unwrap();
    let convert = "videoconvert ! video/x-raw,format=RGB ! ";
    println!(
        "{:#}",
        json!({
            "video": video,
            "pictures": pictures,
            "decode_milliseconds": best(|| pipeline(video, "", pictures, false), pictures),
            "decode_convert_copy_milliseconds": best(|| pipeline(video, convert, pictures, true), pictures),
            "source_milliseconds": best(|| through_source(video, pictures), pictures),
        })
    );
}

/// `work` returns how many pictures it saw.
fn best(work: impl Fn() -> usize, pictures: usize) -> f64 {
    let rounds = (0..ROUNDS).map(|_| {
        let before = cpu_time();
        assert_eq!(work(), pictures, "the video is too short");
        (cpu_time() - before).as_secs_f64() * 1000.0 / pictures as f64
    });
    let best = rounds.fold(f64::INFINITY, f64::min);
    (best * 1000.0).round() / 1000.0
}

fn pipeline(video: &str, convert: &str, pictures: usize, copy: bool) -> usize {
    let description =
        format!("filesrc name=input ! decodebin ! {convert} appsink name=pictures sync=false max-buffers=2");
    let pipeline = gst::parse::launch(&description).unwrap().downcast::<gst::Pipeline>().unwrap();
    pipeline.by_name("input").unwrap().set_property_from_str("location", video);
    let sink = pipeline.by_name("pictures").unwrap().downcast::<AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut seen = 0;
    while seen < pictures {
        let Ok(sample) = sink.pull_sample() else { break };
        if copy {
            let pixels = sample.buffer().unwrap().map_readable().unwrap().to_vec();
            std::hint::black_box(pixels);
        }
        seen += 1;
    }
    pipeline.set_state(gst::State::Null).unwrap();
    seen
}

fn through_source(video: &str, pictures: usize) -> usize {
    let config = SourceConfig::File { path: Path::new(video).to_owned() };
    let mut source = source::open(&config, time::OffsetDateTime::UNIX_EPOCH).unwrap();
    (0..pictures).map_while(|_| source.next_image().unwrap()).map(std::hint::black_box).count()
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}
