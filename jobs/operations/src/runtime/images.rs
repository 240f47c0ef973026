//! Images through CRI: which the runtime has, and how one is fetched from its registry.

use tonic::Status;

use super::messages::{
    ImageSpec, ImageStatusRequest, ImageStatusResponse, Login, PullImageRequest, PullImageResponse,
};
use super::{IMAGES, Runtime};
use crate::failure::Failure;
use crate::limits::{PULL_LIMIT, RUNTIME_LIMIT};

/// An image that the runtime has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The runtime's id: the digest of its configuration.
    pub id: String,
    /// What it takes, as the runtime counts it.
    pub size_bytes: u64,
}

impl Runtime {
    /// What the runtime has by a name as manifests give it.
    ///
    /// # Errors
    /// As [`Runtime::containers`].
    pub async fn image(&self, name: &str) -> Result<Option<Image>, Failure> {
        let request = ImageStatusRequest {
            image: Some(spec(name)),
        };
        let response: ImageStatusResponse = self
            .ask(IMAGES, "ImageStatus", request, RUNTIME_LIMIT)
            .await?;
        Ok(response.image.map(|image| Image {
            id: image.id,
            size_bytes: image.size,
        }))
    }

    /// Whether the runtime has an image, by a name as manifests give it.
    ///
    /// # Errors
    /// As [`Runtime::containers`].
    pub async fn has_image(&self, name: &str) -> Result<bool, Failure> {
        Ok(self.image(name).await?.is_some())
    }

    /// Fetches an image from its registry. One that is there already is looked for again.
    ///
    /// # Errors
    /// What the runtime says: what the registry, the way to it or the disk have against it.
    pub(crate) async fn pull(&self, name: &str, login: Option<&Login>) -> Result<(), Status> {
        let request = PullImageRequest {
            image: Some(spec(name)),
            auth: login.cloned(),
        };
        self.send::<_, PullImageResponse>(IMAGES, "PullImage", request, PULL_LIMIT)
            .await
            .map(drop)
    }
}

fn spec(name: &str) -> ImageSpec {
    ImageSpec {
        image: name.to_owned(),
        ..ImageSpec::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_not_shown() {
        let login = Login {
            username: "me".into(),
            password: "secret".into(),
            ..Login::default()
        };
        let request = PullImageRequest {
            image: None,
            auth: Some(login.clone()),
        };
        let text = format!("{login:?} {request:?}");
        assert!(!text.contains("secret") && !text.contains("me\""), "{text}");
    }
}
