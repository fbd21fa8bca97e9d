"""Diagnose a classifier of two overlapping clouds, a tenth of whose labels are wrong.

python -m examples.quickstart
"""

import torch

from catwise import diagnose

torch.manual_seed(0)
labels = torch.arange(1200) % 2
features = torch.randn(1200, 2) + 2 * labels[:, None]
wrong = torch.rand(1200) < 0.1
given = torch.where(wrong, 1 - labels, labels)

model = torch.nn.Sequential(torch.nn.Linear(2, 16), torch.nn.Tanh(), torch.nn.Linear(16, 2))
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
for _ in range(300):
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(model(features[:600]), given[:600]).backward()
    optimizer.step()

train, query = (features[:600], given[:600]), (features[600:], labels[600:])
diagnosis = diagnose(model, train, query, classes=["cat", "dog"])
print(diagnosis)
print(f"wrong labels among these ten: {int(wrong[diagnosis.detrimental[:10]].sum())}")
