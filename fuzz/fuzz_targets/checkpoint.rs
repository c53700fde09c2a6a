//! Any bytes as a trained layer, which is then asked. The seeds are of format 2, whose bytes no checksum guards.
#![no_main]

mod folder;

use candle_core::{DType, Device, Tensor};
use hebbian::{Fit, Registry};
use hebbian_model::Model;
use hebbian_training::Checkpoint;

const MOST_INPUTS: usize = 4096;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let path = folder::folder().join("checkpoint.safetensors");
    std::fs::write(&path, bytes).unwrap();
    let Ok(checkpoint) = Checkpoint::load(&path, &Device::Cpu) else { return };
    let registry = Registry::builtin();
    let _ = Fit::from_checkpoint(&checkpoint, &registry);
    let Ok(model) = Model::from_checkpoint(&checkpoint, &registry) else { return };
    let inputs = model.rule().inputs();
    if inputs > MOST_INPUTS {
        return;
    }
    let dtype = if model.preprocess().takes_numbers() { DType::F32 } else { DType::U8 };
    let blank = Tensor::zeros((2, inputs), dtype, &Device::Cpu).unwrap();
    if let Ok(features) = model.transform(&blank) {
        assert!(hebbian_training::all_finite(&features).unwrap());
    }
    let _ = model.predict(&blank);
});
