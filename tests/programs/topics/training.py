"""What programs do with autograd by themselves: backward passes, gradients, hooks, steps of optimizers."""

import torch
import torch.nn.functional as F
from program_cases import Fresh, Topic, after, call, t
from torch import nn

TOPIC = Topic("training")


def network():
    torch.manual_seed(11)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2))


def parameter_with_gradient():
    made = nn.Parameter(torch.arange(4.0) + 1)
    made.grad = torch.full((4,), 3.0)
    return made


@TOPIC.made(call(t(5, 4)), call(t(5, 4)), call(t(3, 4)), is_one_graph=False)
def backward_in_the_middle():
    model = network()

    def program(x):
        loss = model(x).square().mean()
        loss.backward()
        norm = sum(p.grad.square().sum() for p in model.parameters())
        return loss.detach() * 2, norm.sqrt()

    return program, model


@TOPIC.made(call(t(5, 4)), call(t(5, 4)), is_one_graph=False)
def backward_that_keeps_the_history():
    model = network()

    def program(x):
        loss = model(x).square().mean()
        loss.backward(retain_graph=True)
        return loss, loss * 2

    return program, model


@TOPIC.made(call(t(5, 4), 2), call(t(5, 4), 3), is_one_graph=False)
def backward_in_a_loop():
    model = network()

    def program(x, rounds):
        losses = []
        for part in x.chunk(rounds):
            loss = F.mse_loss(model(part), part[:, :2]) / rounds
            loss.backward()
            losses.append(loss.item())
        return losses

    return program, model


@TOPIC.made(call(t(5, 4)), call(t(5, 4)), is_one_graph=False)
def backward_of_several_tensors():
    model = network()

    def program(x):
        hidden = model(x)
        torch.autograd.backward([hidden.sum(), hidden.square().sum()], retain_graph=True)
        return hidden.detach()

    return program, model


def train(model, optimizer, schedule=None):
    def program(x, target):
        optimizer.zero_grad()
        loss = F.mse_loss(model(x), target)
        loss.backward()
        optimizer.step()
        if schedule is not None:
            schedule.step()
        return loss.item(), optimizer.param_groups[0]["lr"]

    return program, model


STEPS = (*[call(t(5, 4), t(5, 2))] * 4, call(t(3, 4), t(3, 2)))


@TOPIC.made(*STEPS, is_one_graph=False)
def steps_of_plain_descent():
    model = network()
    return train(model, torch.optim.SGD(model.parameters(), lr=0.1))


@TOPIC.made(*STEPS, is_one_graph=False)
def steps_with_momentum_and_a_schedule():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    return train(model, optimizer, torch.optim.lr_scheduler.StepLR(optimizer, 2, gamma=0.5))


@TOPIC.made(*STEPS, is_one_graph=False)
def steps_of_adam_with_a_cosine_schedule():
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    return train(model, optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10))


@TOPIC.made(*STEPS, is_one_graph=False)
def steps_of_adam_with_decay():
    model = network()
    return train(model, torch.optim.AdamW(model.parameters(), lr=0.05, weight_decay=0.1))


class OwnDescent(torch.optim.Optimizer):
    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.sub_(group["lr"] * p.grad)


@TOPIC.made(*STEPS, is_one_graph=False)
def steps_of_an_own_optimizer():
    model = network()
    return train(model, OwnDescent(model.parameters(), 0.1))


@TOPIC.made(call(t(5, 4), t(5, 2)), call(t(5, 4), t(5, 2)), is_one_graph=False)
def step_with_a_closure():
    model = network()
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=3)

    def program(x, target):
        def closure():
            optimizer.zero_grad()
            loss = F.mse_loss(model(x), target)
            loss.backward()
            return loss

        return optimizer.step(closure).detach()

    return program, model


@TOPIC.made(*[call(t(5, 4), t(5, 2))] * 3, is_one_graph=False)
def clipped_gradients():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)

    def program(x, target):
        optimizer.zero_grad()
        F.mse_loss(model(x), target).backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        torch.nn.utils.clip_grad_value_(model.parameters(), 0.01)
        optimizer.step()
        return norm

    return program, model


@TOPIC.made(*[call(t(5, 4), t(5, 2))] * 3, is_one_graph=False)
def scaled_gradients():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)

    def program(x, target):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = F.mse_loss(model(x).float(), target)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        model.zero_grad()
        return loss.detach(), scaler.get_scale()

    return program, model


@TOPIC.program(
    call(Fresh(parameter_with_gradient), t(4)), call(Fresh(parameter_with_gradient), t(4))
)
def clipping_alone(weight, x):
    norm = torch.nn.utils.clip_grad_norm_([weight], 0.1)
    return norm, weight.grad * x


@TOPIC.program(call(Fresh(parameter_with_gradient), t(4)), call(t(4, grad=True), t(4)))
def gradients_set_and_taken_away(weight, x):
    had_one = weight.grad is not None
    weight.grad = None
    is_gone = weight.grad is None
    weight.grad = x * 2
    weight.grad.add_(1)
    return had_one, is_gone, weight.grad + 1


@TOPIC.program(call(Fresh(parameter_with_gradient)), call(t(4, grad=True)))
def gradient_deleted(weight):
    del weight.grad
    return weight.grad is None, weight * 2


@TOPIC.program(call(t(4, grad=True), t(3)), call(t(4, grad=True), 3))
def what_is_no_gradient(weight, value):
    weight.grad = value


@TOPIC.made(call(t(5, 4)), call(t(5, 4)))
def gradients_of_a_module_cleared():
    model = network()
    for p in model.parameters():
        p.grad = torch.ones_like(p)

    def program(x):
        model.zero_grad()
        return model(x).detach()

    return program, model


@TOPIC.program(call(t(4, grad=True), t(4)), call(t(4, grad=True), t(4)))
def gradient_as_a_value(weight, x):
    (gradient,) = torch.autograd.grad((weight * x).pow(2).sum(), weight)
    return gradient * 2


@TOPIC.program(call(t(4, grad=True), t(4)), call(t(4, grad=True), t(4)), is_one_graph=False)
def gradient_beside_what_it_is_of(weight, x):
    loss = (weight * x).pow(2).sum()
    (gradient,) = torch.autograd.grad(loss, weight)
    return loss + 1 if gradient.sum() > 1000 else gradient, x + 1


@TOPIC.made(call(t(4)), call(t(4)), is_one_graph=False)
def gradient_through_what_came_before():
    weight = nn.Parameter(torch.arange(4.0))
    doubled = weight * 2

    def program(x):
        return torch.autograd.grad((doubled * weight * x).sum(), weight, retain_graph=True)

    return program, weight


@TOPIC.made(
    call(t(4)),
    after(lambda w: w.register_hook(lambda g: g * 10), call(t(4))),
    call(t(4)),
    is_one_graph=False,
)
def gradient_of_a_tensor_with_hooks():
    weight = nn.Parameter(torch.arange(4.0))

    def program(x):
        return torch.autograd.grad((weight * x).sum(), weight)

    return program, weight


@TOPIC.made(
    call(t(3, 4), torch.tensor([0, 1, 0])),
    call(t(3, 4), torch.tensor([1, 1, 0])),
    is_one_graph=False,
)
def attack_on_an_image():
    model = network()

    def program(x, label):
        x = x.detach().clone().requires_grad_()
        F.cross_entropy(model(x), label).backward()
        return (x + 0.1 * x.grad.sign()).detach().clamp(-1, 1)

    return program, model


@TOPIC.program(call(t(4)), call(t(4)), is_one_graph=False)
def leaves_made_inside(x):
    weight = torch.ones(4, requires_grad=True)
    scale = nn.Parameter(torch.full((4,), 2.0))
    return (x * weight * scale).sum(), weight, scale


@TOPIC.program(call(t(4)), call(t(4)), is_one_graph=False)
def leaf_that_nobody_is_given(x):
    weight = torch.ones(4, requires_grad=True)
    return (x * weight).sum()


@TOPIC.program(call(t(4, grad=True), t(4)), call(t(4, grad=True), t(4)), is_one_graph=False)
def hooks_on_what_is_computed(weight, x):
    seen = []
    y = weight * x
    y.register_hook(lambda gradient: gradient * 2)
    y.retain_grad()
    y.sum().backward()
    seen.append(y.grad.clone())
    return seen


@TOPIC.program(call(t(4, grad=True), t(4)), call(t(4), t(4)), is_one_graph=False)
def flags_of_arguments_changed(weight, x):
    weight.requires_grad_(False)
    y = weight * x
    weight.requires_grad = True
    return y, weight * 2


@TOPIC.made(call(t(3, 4)), call(t(3, 4)), is_one_graph=False)
def modules_frozen_and_thawed():
    model = network()

    def program(x):
        model[0].requires_grad_(False)
        loss = model(x).sum()
        loss.backward()
        model[0].requires_grad_(True)
        return loss.detach()

    return program, model
