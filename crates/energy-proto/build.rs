//! Compiles `proto/energy.proto` with protox, so that no protoc has to be installed.

use protox::prost::Message;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = "../../proto";
    println!("cargo:rerun-if-changed={root}/energy.proto");
    let descriptors = protox::compile([format!("{root}/energy.proto")], [root])?;
    // For reflection.
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("energy.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
