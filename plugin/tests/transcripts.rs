//! What is typed and what comes back, exit codes included: `tests/cmd/*.trycmd`. `TRYCMD=overwrite` takes new output over.

#[test]
fn transcripts() {
    trycmd::TestCases::new()
        .env("COLUMNS", "100")
        .env("NO_COLOR", "1")
        // No cluster of whoever runs the tests.
        .env("KUBECONFIG", "/nonexistent/kubeconfig")
        .env("HOME", "/nonexistent")
        .case("tests/cmd/*.trycmd");
}
