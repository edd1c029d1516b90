//! Ways into a Kafka cluster: what a mapping says of them, and what they come to at run time.

use super::secret::SecretRef;

/// One entry of `sourceAccessConfigurations`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Something secret.
    Secret {
        /// What it is for.
        kind: AccessKind,
        /// Where it is.
        secret: SecretRef,
    },
    /// `OAUTHBEARER_SCOPE`: what tokens are asked for.
    Scope(String),
    /// `OAUTHBEARER_AUDIENCE`: whom tokens are asked for.
    Audience(String),
    /// `IAM_OAUTHBEARER_AUTH`: a token AWS gives us, for the audience.
    WebIdentity {
        /// Where AWS is asked; `None`: our region.
        region: Option<String>,
    },
    /// `IAM_AUTH`: our AWS credentials.
    Iam {
        /// The cluster's region; `None`: ours.
        region: Option<String>,
    },
}

/// What a secret is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessKind {
    /// `BASIC_AUTH`: SASL/PLAIN.
    Basic,
    /// `SASL_SCRAM_256_AUTH`.
    Scram256,
    /// `SASL_SCRAM_512_AUTH`.
    Scram512,
    /// `CLIENT_CERTIFICATE_TLS_AUTH`: mTLS.
    ClientCertificate,
    /// `SERVER_ROOT_CA_CERTIFICATE`.
    RootCa,
    /// `OAUTHBEARER_AUTH`: tokens from an authorization server.
    OAuth,
}

#[cfg(feature = "kafka")]
mod resolve {
    use klr_kafka::{ClientCredentials, Identity, Mechanism, Registry, Sasl, Security, Tls, Tokens};
    use serde::Deserialize;

    use super::super::secret::{Error, SecretRef};
    use super::{Access, AccessKind};

    #[derive(Deserialize)]
    struct Credentials {
        username: String,
        password: String,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Certificate {
        certificate: String,
        private_key: String,
        private_key_password: Option<String>,
    }

    #[derive(Deserialize)]
    struct Root {
        certificate: String,
    }

    /// AWS has two grants, and tells them apart by what is there.
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Grant {
        oauth_token_endpoint_url: String,
        oauth_client_id: String,
        oauth_client_secret: String,
        oauth_idp_ca_certificate: Option<String>,
    }

    const GRANT: &str = r#""oauthTokenEndpointUrl": URL, "oauthClientId": …, "oauthClientSecret": … (the JWT bearer grant is not there yet), optionally "oauthIdpCaCertificate": PEM"#;

    /// Fetches every secret of a mapping. Any access setting implies TLS, as on AWS; none at all is PLAINTEXT.
    pub async fn resolve(access: &[Access]) -> Result<Security, Error> {
        let mut security = Security { tls: (!access.is_empty()).then(Tls::default), sasl: None };
        for one in access {
            match one {
                Access::Secret { kind, secret } => take(*kind, secret, access, &mut security).await?,
                // Parts of the request for tokens.
                Access::Scope(_) | Access::Audience(_) => {}
                Access::Iam { region } => {
                    security.sasl = Some(Sasl::Bearer(Box::pin(iam(region.as_deref())).await?))
                }
                Access::WebIdentity { region } => {
                    let audience = audience(access).unwrap_or_default();
                    security.sasl =
                        Some(Sasl::Bearer(Box::pin(web_identity(region.as_deref(), &audience)).await?));
                }
            }
        }
        Ok(security)
    }

    async fn take(
        kind: AccessKind,
        secret: &SecretRef,
        access: &[Access],
        security: &mut Security,
    ) -> Result<(), Error> {
        let tls = security.tls.get_or_insert_default();
        match kind {
            AccessKind::RootCa => {
                tls.ca = Some(root(secret).await?);
            }
            AccessKind::ClientCertificate => tls.identity = Some(identity(secret).await?),
            AccessKind::Basic => security.sasl = Some(password(Mechanism::Plain, secret).await?),
            AccessKind::Scram256 => security.sasl = Some(password(Mechanism::Scram256, secret).await?),
            AccessKind::Scram512 => security.sasl = Some(password(Mechanism::Scram512, secret).await?),
            AccessKind::OAuth => {
                let credentials = oauth(secret).await?.scope(scope(access)).audience(audience(access));
                security.sasl = Some(Sasl::Bearer(Tokens::ClientCredentials(credentials)));
            }
        }
        Ok(())
    }

    /// The same for a mapping's schema registry, if it has one.
    pub async fn resolve_registry(
        registry: Option<&Registry>,
        access: &[Access],
    ) -> Result<Option<Registry>, Error> {
        let Some(mut registry) = registry.cloned() else { return Ok(None) };
        for one in access {
            match one {
                Access::Secret { kind: AccessKind::RootCa, secret } => {
                    registry.tls.ca = Some(root(secret).await?)
                }
                Access::Secret { kind: AccessKind::ClientCertificate, secret } => {
                    registry.tls.identity = Some(identity(secret).await?);
                }
                Access::Secret { kind: AccessKind::Basic, secret } => {
                    let Credentials { username, password } = credentials(secret).await?;
                    registry.user = Some((username, password));
                }
                _ => {}
            }
        }
        Ok(Some(registry))
    }

    async fn root(secret: &SecretRef) -> Result<String, Error> {
        Ok(secret.json::<Root>(r#""certificate": PEM"#).await?.certificate)
    }

    /// A client certificate, of a cluster or of a registry.
    async fn identity(secret: &SecretRef) -> Result<Identity, Error> {
        let expected = r#""certificate": PEM, "privateKey": PEM, optionally "privateKeyPassword""#;
        let found = secret.json::<Certificate>(expected).await?;
        let Certificate { certificate, private_key, private_key_password: password } = found;
        Ok(Identity { certificate, private_key, password })
    }

    async fn password(mechanism: Mechanism, secret: &SecretRef) -> Result<Sasl, Error> {
        let Credentials { username, password } = credentials(secret).await?;
        Ok(Sasl::Password { mechanism, username, password })
    }

    async fn credentials(secret: &SecretRef) -> Result<Credentials, Error> {
        secret.json(r#""username": …, "password": …"#).await
    }

    async fn oauth(secret: &SecretRef) -> Result<ClientCredentials, Error> {
        let found: Grant = secret.json(GRANT).await?;
        ClientCredentials::new(
            &found.oauth_token_endpoint_url,
            found.oauth_client_id,
            found.oauth_client_secret,
            found.oauth_idp_ca_certificate.as_deref(),
        )
        .map_err(|why| secret.content(GRANT, why.to_string()))
    }

    fn scope(access: &[Access]) -> Option<String> {
        access.iter().find_map(|one| if let Access::Scope(scope) = one { Some(scope.clone()) } else { None })
    }

    fn audience(access: &[Access]) -> Option<String> {
        access.iter().find_map(|one| if let Access::Audience(of) = one { Some(of.clone()) } else { None })
    }

    #[cfg(feature = "kafka-iam")]
    async fn iam(region: Option<&str>) -> Result<Tokens, Error> {
        Ok(Tokens::Iam(klr_kafka::Signer::new(&or_ours(region).await?).await))
    }

    #[cfg(feature = "kafka-iam")]
    async fn web_identity(region: Option<&str>, audience: &str) -> Result<Tokens, Error> {
        let identity = klr_kafka::WebIdentity::new(&or_ours(region).await?, audience, None).await;
        Ok(Tokens::WebIdentity(identity))
    }

    #[cfg(feature = "kafka-iam")]
    async fn or_ours(region: Option<&str>) -> Result<String, Error> {
        match region {
            Some(region) => Ok(region.to_owned()),
            None => klr_aws::region().await.ok_or(Error::Region),
        }
    }

    // Refused when the file is read.
    #[cfg(not(feature = "kafka-iam"))]
    async fn iam(_: Option<&str>) -> Result<Tokens, Error> {
        Err(Error::Region)
    }

    #[cfg(not(feature = "kafka-iam"))]
    async fn web_identity(_: Option<&str>, _: &str) -> Result<Tokens, Error> {
        Err(Error::Region)
    }
}

#[cfg(feature = "kafka")]
pub use resolve::{resolve, resolve_registry};

#[cfg(test)]
#[cfg(feature = "kafka")]
mod tests {
    use super::*;

    fn file(dir: &tempfile::TempDir, name: &str, text: &str) -> SecretRef {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        SecretRef::File(path)
    }

    #[tokio::test]
    async fn access_settings_become_security() {
        let dir = tempfile::tempdir().unwrap();
        let user = file(&dir, "user", r#"{"username": "app", "password": "p", "more": 1}"#);
        let root = file(&dir, "root", r#"{"certificate": "PEM"}"#);
        let access = [
            Access::Secret { kind: AccessKind::Scram512, secret: user },
            Access::Secret { kind: AccessKind::RootCa, secret: root.clone() },
        ];
        let security = resolve(&access).await.unwrap();
        assert_eq!(security.tls.unwrap().ca.as_deref(), Some("PEM"));
        assert!(matches!(security.sasl, Some(klr_kafka::Sasl::Password { password, .. }) if password == "p"));

        let wrong = resolve(&[Access::Secret { kind: AccessKind::Basic, secret: root }])
            .await
            .unwrap_err()
            .to_string();
        assert!(wrong.contains(r#"{"username": …, "password": …}"#) && !wrong.contains("PEM"), "{wrong}");
        assert!(resolve(&[]).await.unwrap().tls.is_none(), "PLAINTEXT");
    }
}
