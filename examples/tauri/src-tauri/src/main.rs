//! The application as a program.
#![cfg_attr(not(debug_assertions), windows_subsystem = "windows")]

fn main() {
    execution_app::run();
}
