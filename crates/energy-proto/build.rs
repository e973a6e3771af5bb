//! Compiles `proto/energy.proto` with protox, so that no protoc has to be installed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = "../../proto";
    println!("cargo:rerun-if-changed={root}/energy.proto");
    let descriptors = protox::compile([format!("{root}/energy.proto")], [root])?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
