//! What a dataset is called here and at the hub.

use crate::{Error, Result};

/// A dataset that is asked for.
#[derive(Debug)]
pub(super) struct Wanted {
    /// As it was asked for.
    pub(super) id: String,
    /// What it is called in results.
    pub(super) name: String,
    /// The repositories at the hub that have it, the first being the one that a download is from.
    pub(super) repositories: Vec<Repository>,
    /// The one of several parts of a repository that was asked for.
    pub(super) config: Option<String>,
    /// Set for the datasets that are known here.
    pub(super) known: Option<&'static Known>,
}

/// A repository of datasets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Repository {
    /// Empty for those that had none in the hub's first years, such as `cifar10`.
    pub(super) owner: String,
    pub(super) name: String,
}

/// A dataset that has a short name. It has a test set.
#[derive(Debug)]
pub(super) struct Known {
    name: &'static str,
    /// Where it is and, as caches of older programs have it, where it was.
    repositories: &'static [&'static str],
    /// The names of its classes, as they were published.
    pub(super) classes: [&'static str; 10],
}

static KNOWN: [Known; 3] = [
    Known {
        name: "mnist",
        repositories: &["ylecun/mnist", "mnist"],
        classes: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
    },
    Known {
        name: "fashion-mnist",
        repositories: &["zalando-datasets/fashion_mnist", "fashion_mnist"],
        classes: [
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ],
    },
    Known {
        name: "cifar10",
        repositories: &["cifar10", "uoft-cs/cifar10"],
        classes: ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"],
    },
];

impl Wanted {
    /// The dataset `id`: a short name, `OWNER/NAME`, or `NAME` for those without an owner; the last two with `:CONFIG` where the
    /// repository has several configs.
    ///
    /// # Errors
    /// If it is none of these.
    pub(super) fn of(id: &str) -> Result<Self> {
        if let Some(known) = KNOWN.iter().find(|known| known.name == id) {
            let repositories = known.repositories.iter().filter_map(|id| Repository::of(id)).collect();
            let (id, name) = (id.to_owned(), id.to_owned());
            return Ok(Self { id, name, repositories, config: None, known: Some(known) });
        }
        let (repository, config) = id.split_once(':').map_or((id, None), |(id, config)| (id, Some(config)));
        let config_is_one = config.is_none_or(|config| !config.is_empty());
        let repository = Repository::of(repository).filter(|_| config_is_one).ok_or_else(|| {
            let names = KNOWN.each_ref().map(|known| known.name).join(", ");
            Error::setting("dataset", id, format!("{names}, or OWNER/NAME as at the hub"))
        })?;
        let name = config.map_or(repository.name.clone(), |config| format!("{}-{config}", repository.name));
        let config = config.map(str::to_owned);
        Ok(Self { id: id.to_owned(), name, repositories: vec![repository], config, known: None })
    }
}

impl Repository {
    /// None for what could be no name at the hub, and so could lead out of the cache's folder.
    fn of(id: &str) -> Option<Self> {
        let (owner, name) = id.split_once('/').unwrap_or(("", id));
        let is_allowed =
            |text: &str| text.chars().all(|sign| sign.is_ascii_alphanumeric() || "._-".contains(sign));
        let is_name = |text: &str| !text.is_empty() && !text.starts_with('.') && is_allowed(text);
        let fits = is_name(name) && (is_name(owner) || !id.contains('/'));
        fits.then(|| Self { owner: owner.to_owned(), name: name.to_owned() })
    }

    /// As it is written at the hub.
    pub(super) fn id(&self) -> String {
        match self.owner.as_str() {
            "" => self.name.clone(),
            owner => format!("{owner}/{}", self.name),
        }
    }

    /// One of its files, in messages.
    pub(super) fn place_of(&self, file: &str) -> String {
        format!("{file} of the dataset {}", self.id())
    }

    /// The name of its folder in the cache.
    pub(super) fn folder(&self) -> String {
        format!("datasets--{}", self.id().replace('/', "--"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_short_name_or_a_repository_with_or_without_a_config() {
        let read = |id: &str| {
            let Wanted { name, repositories, config, .. } = Wanted::of(id).unwrap();
            (name, repositories[0].id(), repositories[0].folder(), config.unwrap_or_default())
        };
        let text = |name: &str, id: &str, folder: &str, config: &str| {
            (name.into(), id.into(), folder.into(), config.into())
        };
        assert_eq!(read("mnist"), text("mnist", "ylecun/mnist", "datasets--ylecun--mnist", ""));
        assert_eq!(read("svhn"), text("svhn", "svhn", "datasets--svhn", ""));
        assert_eq!(
            read("me/my.own_set"),
            text("my.own_set", "me/my.own_set", "datasets--me--my.own_set", "")
        );
        assert_eq!(read("me/set:big"), text("set-big", "me/set", "datasets--me--set", "big"));
    }

    #[test]
    fn what_is_no_id_is_refused_with_what_would_be() {
        for id in ["", "/", "a/", "/a", "a/b/c", "../a", "a/..", "a b", "a:", ".", "a\\b"] {
            let message = Wanted::of(id).unwrap_err().to_string();
            let expected = format!(
                "dataset is {id}, allowed: mnist, fashion-mnist, cifar10, or OWNER/NAME as at the hub"
            );
            assert_eq!(message, expected);
        }
    }
}
