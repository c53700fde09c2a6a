//! Compiles `kernels/*.cu` to PTX under the feature `cuda`, and does nothing without it.

#[cfg(not(feature = "cuda"))]
fn main() {
    println!("cargo::rerun-if-changed=build.rs");
}

#[cfg(feature = "cuda")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=kernels");
    let folder = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    let kernels = cudaforge::KernelBuilder::new().source_dir("kernels").arg("-std=c++17").arg("-O3");
    kernels.build_ptx()?.write(folder.join("kernels.rs"))?;
    Ok(())
}
