"""Estimators for raw tables, in reading order.

`input` reads tables of other libraries; `columns` and `dates` infer what each column holds; `encoding` and
`encoder` make the inputs of a network from it. `base` and `models` are the estimators, `members` and `knots`
train their networks. `passes` predicts many rows, `row` and `predictor` a single one; `scores`, `importance`
and `inspection` say how good a model is, and why.
"""
