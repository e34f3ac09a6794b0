//! The service's error codes.

use std::fmt;

/// The code in the service's envelope. Any number is possible and comes through unchanged.
///
/// The constants are the codes that the service's document names, or that other clients of it have seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ErrorCode(pub i64);

impl ErrorCode {
    /// 0: success.
    pub const OK: Self = Self(0);
    /// 1: internal error according to the document; in practice the response to any invalid input.
    pub const INTERNAL: Self = Self(1);
    /// 401: the access token is invalid, expired, or was replaced by a newer one.
    pub const UNAUTHORIZED: Self = Self(401);
    /// 403: the load balancer has banned this IP address.
    pub const FORBIDDEN: Self = Self(403);
    /// 429: too many requests.
    pub const RATE_LIMITED: Self = Self(429);
    /// 5066: file not found.
    pub const FILE_NOT_FOUND: Self = Self(5066);
    /// 5113: the traffic quota is used up.
    pub const QUOTA_EXHAUSTED: Self = Self(5113);

    /// Returns whether this is [`OK`](Self::OK).
    #[must_use]
    pub const fn is_ok(self) -> bool {
        self.0 == 0
    }

    /// Returns the code as a number.
    #[must_use]
    pub const fn as_i64(self) -> i64 {
        self.0
    }
}

impl From<i64> for ErrorCode {
    fn from(code: i64) -> Self {
        Self(code)
    }
}

impl From<ErrorCode> for i64 {
    fn from(code: ErrorCode) -> Self {
        code.0
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
