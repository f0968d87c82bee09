//! Sets up the linker for the Node addon; without it there is nothing to do.

fn main() {
    #[cfg(feature = "node")]
    napi_build::setup();
}
