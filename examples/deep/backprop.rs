//! Backprop: of each depth a network of its own, of the same architecture, all of it trained on the labels.

use anyhow::Result;
use candle_nn::Module;
use hebbian_classifier::{ConvolutionalLayer, ConvolutionalNet};
use hebbian_experiment::{Data, Row, RunKey, Session};
use hebbian_training::Generator;

use crate::row_name;
use crate::settings::{Model, Settings};

impl Settings {
    /// A row per depth.
    pub fn backprop(&self, session: &mut Session, seed: u64) -> Result<()> {
        let model = Model::Backprop.name();
        for depth in 1..=self.depths() {
            let name = row_name(model, depth);
            let key = RunKey { seed, name: &name };
            session.row(key, |session| {
                let network = self.backprop_network(session, seed, depth)?;
                let row = session.learn_supervised(key, &network, &self.backprop, false)?;
                let units = Some(network.features());
                let measures = self.robustness(session, seed, &|images| network.forward(images))?;
                Ok(Row { measures, model: format!("{model}, depth {depth}"), units, ..row })
            })?;
        }
        Ok(())
    }

    /// The lowest layers, the last with the pooling that a readout of this depth sees.
    fn backprop_network(&self, session: &Session, seed: u64, depth: usize) -> Result<ConvolutionalNet> {
        let Data { shape, classes, .. } = &session.data;
        let layers = (0..depth).map(|layer| {
            let pool = if layer + 1 == depth { self.readout_pool(layer) } else { self.layers.pools[layer] };
            let (units, kernel) = (self.layers.units[layer], self.layers.kernels[layer]);
            ConvolutionalLayer { units, kernel, pooling: pool.pooling() }
        });
        let layers: Vec<_> = layers.collect();
        let image = (shape.height, shape.width, shape.channels);
        let mut draws = Generator::new(seed, "deep backprop");
        Ok(ConvolutionalNet::new(image, &layers, *classes, &mut draws, &session.device)?)
    }
}
