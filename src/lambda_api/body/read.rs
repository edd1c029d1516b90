//! Bodies off the wire, up to AWS's limit.

use axum::body::{Body, Bytes};
use futures::StreamExt;

use super::super::error::{Code, Error};

/// The largest request AWS reads: fifty megabytes of zip in base64, and something around it.
pub(in super::super) const LARGEST: usize = 70_167_211;

/// As much of what is too large is read and thrown away: SDKs hear no answer before they have sent everything.
const DRAINED: usize = 4 * LARGEST;

/// All of a body, or AWS's words for too much of it.
pub(in super::super) async fn read(path: &str, body: Body) -> Result<Bytes, Error> {
    let mut chunks = body.into_data_stream();
    let mut read = Vec::new();
    let mut length = 0_usize;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Error::new(Code::Serialization, "The body ended before its end"))?;
        length = length.saturating_add(chunk.len());
        if length > DRAINED {
            break;
        }
        if length > LARGEST {
            read = Vec::new();
        } else {
            read.extend_from_slice(&chunk);
        }
    }
    if length > LARGEST { Err(too_large(path)) } else { Ok(read.into()) }
}

fn too_large(path: &str) -> Error {
    let operation = match path.trim_end_matches('/') {
        path if path.ends_with("/functions") => "CreateFunction",
        path if path.ends_with("/code") => "UpdateFunctionCode",
        path if path.contains("/layers/") => "PublishLayerVersion",
        _ => "requested",
    };
    Error::new(
        Code::RequestEntityTooLarge,
        format!("Request must be smaller than {LARGEST} bytes for the {operation} operation"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn too_much_is_read_to_its_end_and_refused() {
        let path = "/2015-03-31/functions/";
        assert_eq!(read(path, Body::from("{}")).await.unwrap(), "{}");
        assert_eq!(read(path, Body::from(vec![b' '; LARGEST])).await.unwrap().len(), LARGEST);
        let refused = read(path, Body::from(vec![b' '; LARGEST + 1])).await.unwrap_err();
        assert_eq!(
            refused.to_string(),
            "RequestEntityTooLargeException: Request must be smaller than 70167211 bytes for the CreateFunction operation"
        );
    }
}
