# SPDX-License-Identifier: Apache-2.0
"""Speech, text and time series."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class SpeechRecognizer(nn.Module):
    """Convolutions over a spectrogram, bidirectional recurrent layers, symbols per frame."""

    def __init__(self, kind: type[nn.LSTM] | type[nn.GRU] = nn.LSTM, symbols: int = 29) -> None:
        super().__init__()
        self.front = nn.Sequential(
            nn.Conv2d(1, 8, (11, 5), (2, 2), (5, 2)), nn.BatchNorm2d(8), nn.Hardtanh(0, 20),
            nn.Conv2d(8, 8, (11, 5), (1, 2), (5, 2)), nn.BatchNorm2d(8), nn.Hardtanh(0, 20),
        )  # fmt: skip
        self.recurrent = kind(8 * 10, 48, num_layers=2, bidirectional=True, batch_first=True)
        self.symbols = nn.Linear(96, symbols)

    def forward(self, spectrogram: torch.Tensor) -> torch.Tensor:
        x = self.front(spectrogram.unsqueeze(1))
        x = x.transpose(1, 2).flatten(2)
        x, _ = self.recurrent(x)
        return self.symbols(x).log_softmax(-1)


class Forecaster(nn.Module):
    """An LSTM that reads a series and hands its state to a linear forecast."""

    def __init__(self, features: int = 6, horizon: int = 12) -> None:
        super().__init__()
        self.encoder = nn.LSTM(features, 32, num_layers=2, batch_first=True)
        self.head = nn.Linear(32, horizon)

    def forward(self, series: torch.Tensor) -> torch.Tensor:
        _, (hidden, _) = self.encoder(series)
        return self.head(hidden[-1])


class Streaming(nn.Module):
    """A GRU whose state comes in and goes out, as on a device that hears frame by frame."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.GRU(20, 32)
        self.head = nn.Linear(32, 4)

    def forward(
        self, frames: torch.Tensor, state: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        outputs, state = self.encoder(frames, state)
        return self.head(outputs).sigmoid(), state


class Cells(nn.Module):
    """An LSTM cell and a GRU cell, stepped by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.long, self.gated = nn.LSTMCell(10, 24), nn.GRUCell(24, 24)
        self.head = nn.Linear(24, 3)

    def forward(self, series: torch.Tensor) -> torch.Tensor:
        hidden = cell = state = series.new_zeros(series.shape[0], 24)
        for step in series.unbind(1):
            hidden, cell = self.long(step, (hidden, cell))
            state = self.gated(hidden, state)
        return self.head(state)


class Elman(nn.Module):
    """A plain recurrent network over tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(100, 24, padding_idx=0)
        self.recurrent = nn.RNN(24, 32, nonlinearity="relu", batch_first=True)
        self.head = nn.Linear(32, 5)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        outputs, _ = self.recurrent(self.embedding(tokens))
        return self.head(outputs.mean(1))


class Attention(nn.Module):
    """torch's own transformer encoder with a padding mask."""

    def __init__(self, tokens: int = 100) -> None:
        super().__init__()
        self.embedding = nn.Embedding(tokens, 48)
        layer = nn.TransformerEncoderLayer(48, 4, 96, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, tokens: torch.Tensor, padding: torch.Tensor) -> torch.Tensor:
        return self.encoder(self.embedding(tokens), src_key_padding_mask=padding)


class Translator(nn.Module):
    """torch's own transformer, encoder and decoder, with a causal mask."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(100, 32)
        self.transformer = nn.Transformer(32, 4, 2, 2, 64, batch_first=True)
        self.head = nn.Linear(32, 100)

    def forward(self, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        causal = nn.Transformer.generate_square_subsequent_mask(target.shape[1])
        x = self.transformer(
            self.embedding(source), self.embedding(target), tgt_mask=causal, tgt_is_causal=True
        )
        return self.head(x)


class TemporalConvolutions(nn.Module):
    """Causal dilated convolutions with residual connections, the left side padded by hand."""

    def __init__(self, channels: int = 24, depth: int = 4) -> None:
        super().__init__()
        self.first = nn.Conv1d(6, channels, 1)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(channels, 2 * channels, 3, dilation=2**i) for i in range(depth)
        )
        self.head = nn.Conv1d(channels, 2, 1)

    def forward(self, series: torch.Tensor) -> torch.Tensor:
        x = self.first(series)
        for convolution in self.convolutions:
            (dilation,) = convolution.dilation
            x = x + F.glu(convolution(F.pad(x, (2 * dilation, 0))), 1)
        return self.head(x)


class BasisExpansion(nn.Module):
    """N-BEATS: stacks of linear layers that take their part off the series, one after another."""

    def __init__(self, past: int = 48, horizon: int = 12, blocks: int = 3) -> None:
        super().__init__()
        self.past, self.horizon = past, horizon
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Linear(past, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(),
                nn.Linear(64, past + horizon),
            )
            for _ in range(blocks)
        )  # fmt: skip

    def forward(self, series: torch.Tensor) -> torch.Tensor:
        forecast = series.new_zeros(series.shape[0], self.horizon)
        for block in self.blocks:
            backcast, part = block(series).split((self.past, self.horizon), 1)
            series, forecast = series - backcast, forecast + part
        return forecast


class PatchedSeries(nn.Module):
    """PatchTST: overlapping patches of normalized series are the tokens of a transformer."""

    def __init__(self, length: int = 16, stride: int = 8) -> None:
        super().__init__()
        self.length, self.stride = length, stride
        self.embedding = nn.Linear(length, 32)
        self.position = nn.Parameter(torch.zeros(1, 7, 32))
        layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, activation="gelu")
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(7 * 32, 12)

    def forward(self, series: torch.Tensor) -> torch.Tensor:
        mean = series.mean(-1, keepdim=True)
        deviation = (series.var(-1, keepdim=True, unbiased=False) + 1e-5).sqrt()
        patches = ((series - mean) / deviation).unfold(-1, self.length, self.stride)
        batch, variables, count, _ = patches.shape
        x = self.embedding(patches) + self.position
        x = self.encoder(x.reshape(batch * variables, count, -1))
        x = self.head(x.reshape(batch, variables, -1))
        return x * deviation + mean


class KeywordSpotter(nn.Module):
    """Depthwise separable convolutions over mel bands."""

    def __init__(self, words: int = 12) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(1, 24, (10, 4), 2, (5, 1)), nn.BatchNorm2d(24)]
        for _ in range(3):
            layers += [
                nn.Conv2d(24, 24, 3, padding=1, groups=24), nn.BatchNorm2d(24), nn.ReLU6(),
                nn.Conv2d(24, 24, 1), nn.BatchNorm2d(24), nn.ReLU6(),
            ]  # fmt: skip
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(24, words)

    def forward(self, spectrogram: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(spectrogram).mean((2, 3))).softmax(-1)
