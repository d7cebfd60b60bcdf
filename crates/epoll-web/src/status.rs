//! The status codes that are sent, RFC 9110 §15.

/// A status code and its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Status(pub(crate) u16, pub(crate) &'static str);

impl Status {
    pub(crate) const OK: Self = Self(200, "OK");
    pub(crate) const PARTIAL: Self = Self(206, "Partial Content");
    pub(crate) const MOVED: Self = Self(301, "Moved Permanently");
    pub(crate) const NOT_MODIFIED: Self = Self(304, "Not Modified");
    pub(crate) const BAD_REQUEST: Self = Self(400, "Bad Request");
    pub(crate) const FORBIDDEN: Self = Self(403, "Forbidden");
    pub(crate) const NOT_FOUND: Self = Self(404, "Not Found");
    pub(crate) const METHOD: Self = Self(405, "Method Not Allowed");
    pub(crate) const TOO_SLOW: Self = Self(408, "Request Timeout");
    pub(crate) const LENGTH_REQUIRED: Self = Self(411, "Length Required");
    pub(crate) const TOO_LARGE: Self = Self(413, "Content Too Large");
    pub(crate) const TARGET_TOO_LONG: Self = Self(414, "URI Too Long");
    pub(crate) const RANGE: Self = Self(416, "Range Not Satisfiable");
    pub(crate) const FIELDS_TOO_LARGE: Self = Self(431, "Request Header Fields Too Large");
    pub(crate) const INTERNAL: Self = Self(500, "Internal Server Error");
    pub(crate) const NOT_IMPLEMENTED: Self = Self(501, "Not Implemented");
    pub(crate) const UNAVAILABLE: Self = Self(503, "Service Unavailable");
    pub(crate) const VERSION: Self = Self(505, "HTTP Version Not Supported");
}
