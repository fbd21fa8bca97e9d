"""Has my classifier reached its performance ceiling, and if not, what in its data holds it back?

One legend for the whole library; the letters are used as suffixes of arrays (``scores_nk``):

    n   training samples            k   classes, or other groups of query samples
    m   validation samples          p   parameters
    o   outputs of a layer          i   inputs of a layer, the bias counted as one
    t   positions at which a layer is applied to one sample (pixels, tokens)

    g_i = grad l(z_i)               gradient of one training sample's loss
    q_k = sum_{z in V, class k} grad l(z)       class gradient, a *sum* over validation samples
    H   = sum_i grad^2 l(z_i)       curvature, a *sum* over training samples (Eq. 1 of the paper)
    P[i, k] = q_k . H^-1 g_i        influence vector of sample i; positive: removing i raises
                                    the summed validation loss of class k, so i is beneficial to it
"""
