//! A token as a request carries it.

use http::HeaderValue;

/// A token as a request carries it.
///
/// # Errors
/// What about it cannot be sent.
pub(super) fn bearer(token: &str) -> Result<HeaderValue, &'static str> {
    let mut value = HeaderValue::try_from(format!("Bearer {token}"))
        .map_err(|_| "has a line break or another control character in it")?;
    value.set_sensitive(true);
    Ok(value)
}
