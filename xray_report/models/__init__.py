"""nn.Modules: encoder, attention, decoders, loss, weight formats."""
