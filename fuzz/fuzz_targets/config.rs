//! Any bytes as settings of a rule and its training.
#![no_main]

use hebbian::{FitConfig, KrotovHopfieldConfig};
use hebbian_training::Parameters;
use hebbian_training::settings::Settings;
use toml::Table;

fn read<P: Parameters + Default>(text: &str) {
    let Ok(table) = text.parse::<Table>() else { return };
    let (Ok(mut settings), Ok(value)) = (Settings::of::<P>(&[]), serde_json::to_value(table)) else { return };
    let given = settings.flatten(value);
    if settings.set(&given).is_ok() {
        let _ = settings.build::<P>();
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    read::<KrotovHopfieldConfig>(&text);
    read::<FitConfig>(&text);
});
