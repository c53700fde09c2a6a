//! Any bytes as the rows, the settings and the metrics of a run that is gone on with. Rows get the checksum that guards them.
#![no_main]

mod folder;

use hebbian_experiment::{Progress, RunFolder};
use hebbian_training::sealed;

const SETTINGS: &str = "epochs = 2\n";

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let out = folder::folder().join("run");
    std::fs::create_dir_all(out.join("progress")).unwrap();
    let text = String::from_utf8_lossy(bytes);
    let rows = sealed("", &text);
    for (config, rows, metrics) in [
        (SETTINGS.as_bytes(), rows.as_bytes(), &b""[..]),
        (SETTINGS.as_bytes(), bytes, bytes),
        (bytes, rows.as_bytes(), bytes),
    ] {
        std::fs::write(out.join("config.toml"), config).unwrap();
        std::fs::write(out.join("progress/rows.json"), rows).unwrap();
        std::fs::write(out.join("metrics.jsonl"), metrics).unwrap();
        let settings = SETTINGS.parse().unwrap();
        if let Ok(folder) = RunFolder::open(out.clone(), &settings, None, true, Progress::new(true)) {
            let _ = folder.metrics(false);
        }
    }
});
