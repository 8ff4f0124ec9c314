from xray_report.api import PhantomDataset as PhantomDataset
from xray_report.api import labels as labels
from xray_report.api import load as load
from xray_report.api import scores as scores
from xray_report.inference.beam import BeamSearch as BeamSearch
from xray_report.inference.beam import DiverseBeamSearch as DiverseBeamSearch
from xray_report.inference.consensus import ConsensusSearch as ConsensusSearch
from xray_report.inference.greedy import GreedySearch as GreedySearch
from xray_report.inference.sampling import SampleSearch as SampleSearch
from xray_report.inference.search import Hypothesis as Hypothesis
from xray_report.models.decoders.protocol import DecoderState as DecoderState
from xray_report.tokens import SpecialTokens as SpecialTokens

__version__: str
