"""Diagnose scikit-learn's logistic regression with its exact Hessian, and check a prediction.

    python -m examples.logistic_regression

The last two lines compare what leaving out the most harmful sample is predicted to do with what it
does: the change of the summed loss of each class on the query samples, in nats.
"""

import numpy as np
import torch
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn

from catwise import diagnose, exact_hessian

C = 1.0  # scikit-learn minimises sum_i l(z_i) + |theta|^2 / (2 C)


def fitted(x: np.ndarray, y: np.ndarray) -> LogisticRegression:
    """Return the estimator; the intercept is the weight of a column of ones."""
    return LogisticRegression(C=C, fit_intercept=False, tol=1e-9, max_iter=1000).fit(x, y)


def losses(estimator: LogisticRegression, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the summed loss of each class."""
    loss = -estimator.predict_log_proba(x)[np.arange(len(y)), y]
    return np.bincount(y, weights=loss)


def main() -> None:
    x, y = load_wine(return_X_y=True)
    x = np.hstack([StandardScaler().fit_transform(x), np.ones((len(x), 1))])
    x, x_query, y, y_query = train_test_split(x, y, random_state=0, stratify=y)
    y[:8] = (y[:8] + 1) % 3  # wrong on purpose
    estimator = fitted(x, y)

    model = nn.Linear(x.shape[1], 3, bias=False, dtype=torch.float64)
    model.weight.data = torch.from_numpy(estimator.coef_)
    train = (torch.from_numpy(x), torch.from_numpy(y))
    query = (torch.from_numpy(x_query), torch.from_numpy(y_query))
    hessian = exact_hessian(model, train, l2=1 / (C * len(y)))
    diagnosis = diagnose(model, train, query, ["first", "second", "third"], curvature=hessian)
    print(diagnosis)

    worst = diagnosis.detrimental[0]
    rest = np.delete(np.arange(len(y)), worst)
    change = losses(fitted(x[rest], y[rest]), x_query, y_query) - losses(
        estimator, x_query, y_query
    )
    print(f"without sample {worst}, predicted:", *diagnosis.p_nk[worst].round(3))
    print(f"without sample {worst}, realised: ", *change.round(3))


if __name__ == "__main__":
    main()
