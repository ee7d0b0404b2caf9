fn main() -> std::process::ExitCode {
    umsicht::cli::main()
}
