//! Checks `tauri.conf.json`, and puts the icon into the program on Windows.

fn main() {
    tauri_build::build();
}
