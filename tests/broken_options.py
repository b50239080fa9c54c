"""Option files with one mistake each: what `basicsr check` says about it, and whether editors mark it too."""

import copy

import yaml

STAGES = "{type: SemanIR, depths: [1, 1], num_heads: [6, 6], attention: [~, %s]}"

# KEY:KEY=VALUE to change in the option file (-KEY: leave out) and the problem, which begins with its key path
CHANGES = {
    # unknown keys at every level
    "nmae=x": "nmae: unknown key; did you mean 'name'?",
    "datasets:train:datroot_gt=x": "datasets:train:datroot_gt: unknown key; did you mean 'dataroot_gt'?",
    "datasets:train:io_backend={type: disk, path: x}": "datasets:train:io_backend:path: unknown key",
    "network_g:embed_dims=6": "network_g:embed_dims: unknown key; did you mean 'embed_dim'?",
    "path:pretrained_network_g=x": "path:pretrained_network_g: unknown key; did you mean",
    "path:models=elsewhere": "path:models: unknown key",
    "train:total_iters=5": "train:total_iters: unknown key; did you mean 'total_iter'?",
    "train:progressive={patch_size: [8]}": "train:progressive:patch_size: unknown key",
    "train:mixup:betta=1": "train:mixup:betta: unknown key; did you mean 'beta'?",
    "train:optim_g:weight_deca=1": "train:optim_g:weight_deca: unknown key; did you mean 'weight_decay'?",
    "train:scheduler:gama=1": "train:scheduler:gama: unknown key; did you mean 'gamma'?",
    "train:pixel_opt:los_weight=1": "train:pixel_opt:los_weight: unknown key; did you mean 'loss_weight'?",
    "train:_opt={type: L1Loss}": "train:_opt: unknown key",
    "train:use_grad_clip=true": "train:use_grad_clip: unknown key; did you mean 'grad_clip'?",
    "val:val_frequency=1": "val:val_frequency: unknown key; did you mean 'val_freq'?",
    "val:metrics:psnr:crop_boarder=1": "val:metrics:psnr:crop_boarder: unknown key",
    "logger:wandb:projekt=x": "logger:wandb:projekt: unknown key; did you mean 'project'?",
    "dist_params:prt=1": "dist_params:prt: unknown key; did you mean 'port'?",
    # names that name nothing
    "model_type=RestorationModle": "model_type: 'RestorationModle' is not known; did you mean",
    "network_g:type=SemanIr": "network_g:type: 'SemanIr' is not known; did you mean 'SemanIR'?",
    "train:optim_g:type=AdamX": "train:optim_g:type: 'AdamX' is not known; did you mean 'Adam'?",
    "train:scheduler:type=~": "train:scheduler:type: is missing; known are",
    "train:edge_opt={type: L9}": "train:edge_opt:type: 'L9' is not known (is it in a plugin?",
    "val:metrics:psnr:type=pnsr": "val:metrics:psnr:type: 'pnsr' is not known; did you mean",
    "datasets:train:type=5": "datasets:train:type: '5' is not known (is it in a plugin?",
    # values of another kind
    "scale='2'": "scale: is '2'; expected a whole number of at least 1",
    "scale=true": "scale: is True; expected a whole number",
    "name=5": "name: is 5; expected a word that can name a folder",
    "manual_seed=~": "manual_seed: is None; expected a whole number",
    "datasets=[]": "datasets: must be a block of keys",
    "datasets:val=5": "datasets:val: must be a block of keys",
    "datasets:train:gt_size=[14]": "datasets:train:gt_size: is [14]; expected a whole number",
    "datasets:train:use_hflip='no'": "datasets:train:use_hflip: is 'no'; expected true or false",
    "datasets:train:pin_memory=1": "datasets:train:pin_memory: is 1; expected true or false",
    "datasets:train:dataroot_gt=5": "datasets:train:dataroot_gt: is 5; expected text",
    "datasets:train:dataroot_gt=[a, b]": "datasets:train:dataroot_gt: is ['a', 'b']; expected text",
    "datasets:train:mean=[a, b, c]": "datasets:train:mean: is ['a', 'b', 'c']; expected a list of numbers",
    "network_g=SemanIR": "network_g: must be a block of keys",
    "network_g:embed_dim='6'": "network_g:embed_dim: is '6'; expected a whole number",
    "network_g:embed_dim=~": "network_g:embed_dim: is None; expected a whole number",
    "network_g:depths=2": "network_g:depths: is 2; expected a list of whole numbers",
    "path=5": "path: must be a block of keys",
    "path:resume_state=true": "path:resume_state: is True; expected text",
    "path:strict_load_g='no'": "path:strict_load_g: is 'no'; expected true or false",
    "path:param_key_g=5": "path:param_key_g: is 5; expected text",
    "train=5": "train: must be a block of keys",
    "train:total_iter=many": "train:total_iter: is 'many'; expected a whole number of at least 1",
    "train:ema_decay='0.9'": "train:ema_decay: is '0.9'; expected a number from 0 to below 1",
    "train:optim_g=AdamW": "train:optim_g: must be a block of keys",
    "train:optim_g:weight_decay='x'": "train:optim_g:weight_decay: is 'x'; expected a number of at least 0",
    "train:optim_g:betas=[0.9]": "train:optim_g:betas: is [0.9]; expected a list of 2 numbers",
    "train:optim_g:no_decay=bias": "train:optim_g:no_decay: is 'bias'; expected true or false or a list of",
    "train:scheduler=5": "train:scheduler: must be a block of keys",
    "train:scheduler:milestones=3": "train:scheduler:milestones: is 3; expected a list of whole numbers",
    "train:scheduler:milestones=[2.5]": "train:scheduler:milestones: is [2.5]; expected a list of whole",
    "train:scheduler:gamma='x'": "train:scheduler:gamma: is 'x'; expected a number of at least 0",
    "train:pixel_opt=L1Loss": "train:pixel_opt: must be a block of keys",
    "train:pixel_opt:loss_weight='x'": "train:pixel_opt:loss_weight: is 'x'; expected a number",
    "train:edge_opt=L1Loss": "train:edge_opt: must be a block of keys, the first of them type",
    "train:edge_opt={type: L1Loss, weight: 3}": "train:edge_opt:weight: unknown key; did you mean",
    "train:precision=fp8": "train:precision: is 'fp8'; expected one of fp32, bf16, fp16",
    "train:accumulate=1.5": "train:accumulate: is 1.5; expected a whole number of at least 1",
    "train:compile=1": "train:compile: is 1; expected true or false",
    "train:mixup=1.2": "train:mixup: must be a block of keys",
    "val:save_img=5": "val:save_img: is 5; expected true or false",
    "val:metrics:image={type: psnr}": "val:metrics:image: cannot be a column of metrics.csv",
    "val:metrics=psnr": "val:metrics: is 'psnr'; expected a block of keys",
    "val:metrics:psnr=~": "val:metrics:psnr: must be a block of keys",
    "val:metrics:psnr:test_y_channel='no'": "val:metrics:psnr:test_y_channel: is 'no'; expected true or",
    "val:metrics:psnr:better=best": "val:metrics:psnr:better: is 'best'; expected one of higher, lower",
    "logger:use_tb_logger='yes'": "logger:use_tb_logger: is 'yes'; expected true or false",
    "logger:wandb=true": "logger:wandb: must be a block of keys",
    "dist_params:port=abc": "dist_params:port: is 'abc'; expected a whole number from 1 to below 65536",
    "find_unused_parameters='x'": "find_unused_parameters: is 'x'; expected true or false",
    # numbers out of range
    "scale=0": "scale: is 0; expected a whole number of at least 1",
    "num_gpu=-1": "num_gpu: is -1; expected a whole number of at least 0 or auto",
    "manual_seed=99999999999": "manual_seed: is 99999999999; expected a whole number from 0 to below 2e+09",
    "datasets:train:batch_size_per_gpu=0": "datasets:train:batch_size_per_gpu: is 0; expected a whole number",
    "datasets:train:num_worker_per_gpu=1000000": "datasets:train:num_worker_per_gpu: is 1000000; expected",
    "datasets:train:dataset_enlarge_ratio=.nan": "datasets:train:dataset_enlarge_ratio: is nan; expected",
    "datasets:train:dataset_enlarge_ratio=9e+8": "datasets:train:dataset_enlarge_ratio: makes 4,500,000,000",
    "datasets:train:gt_size=100000": "datasets:train:gt_size: is 100000; expected a whole number from 1 to",
    "train:total_iter=.inf": "train:total_iter: is inf; expected a whole number",
    "train:total_iter=2.5": "train:total_iter: is 2.5; expected a whole number",
    "train:ema_decay=1": "train:ema_decay: is 1; expected a number from 0 to below 1",
    "train:optim_g:lr=-1": "train:optim_g:lr: is -1; expected a number from 0",
    "train:optim_g:lr=.nan": "train:optim_g:lr: is nan; expected a number from 0",
    "train:optim_g:betas=[2, 3]": "train:optim_g: cannot work: Invalid beta parameter at index 0: 2",
    "train:scheduler:milestones=[-1]": "train:scheduler:milestones: is [-1]; expected a list of whole",
    "train:pixel_opt:loss_weight=.nan": "train:pixel_opt:loss_weight: is nan; expected a number",
    "train:accumulate=0": "train:accumulate: is 0; expected a whole number of at least 1",
    "train:grad_clip=0": "train:grad_clip: is 0; expected a number above 0",
    "train:grad_clip=-1": "train:grad_clip: is -1; expected a number above 0",
    "train:grad_clip=.inf": "train:grad_clip: is inf; expected a number above 0",
    "train:mixup:beta=0": "train:mixup:beta: is 0; expected a number above 0",
    "val:val_freq=0": "val:val_freq: is 0; expected a whole number of at least 1",
    "val:window_size=0": "val:window_size: is 0; expected a whole number from 1 to below 1025",
    "logger:save_checkpoint_freq=1e+99": "logger:save_checkpoint_freq: is 1e+99; expected a whole number",
    "logger:keep_last=0": "logger:keep_last: is 0; expected a whole number of at least 1",
    # what does not go together
    "datasets:train:gt_size=13": "datasets:train:gt_size: 13 is no multiple of scale 2; take one",
    "network_g:upscale=3": "network_g:upscale: is 3, but scale is 2; make them equal",
    "network_g:in_chans=1": "network_g:in_chans: is 1, but datasets:train gives 3 channels",
    "network_g:num_heads=[4]": "network_g:num_heads: num_heads=4 does not divide the 6 channels",
    "network_g:depths=[2, 2]": "network_g:depths: depths=[2, 2] and num_heads=[2] differ in length",
    "network_g:top_k=26": "network_g:top_k: top_k=26 must be a whole number from 1 to the 25 tokens",
    "train:scheduler={type: CosineAnnealingRestartLR, periods: [2, 1]}": (
        "train:scheduler:periods: sum to 3, but total_iter is 4"
    ),
    "train:optim_g:no_decay=['*.biass']": "train:optim_g:no_decay: no parameter is named like '*.biass'",
    "datasets:train:mean=[0, 0, 0]": "datasets:train:mean: and std need each other",
    "datasets:train:prefetch_mode=cuda": "datasets:train:prefetch_mode: cuda needs pin_memory: true beside",
    "datasets:train:batch_size_per_gpu=6": "datasets:train: 5 images are fewer than one step's 6; lower",
    "train:accumulate=3": "datasets:train: 5 images are fewer than one step's 6; lower",
    "val=~": "val: is missing; datasets:val needs it, such as val: {val_freq: 5000}",
    # patches that grow
    "train:progressive={patch_sizes: [8, 12], batch_sizes: [2, 1]}": "train:progressive:iters: is missing",
    "train:progressive={patch_sizes: [8, 12], batch_sizes: [2], iters: [2, 2]}": (
        "train:progressive:batch_sizes: has 1 stages, but iters has 2; give each stage one"
    ),
    "train:progressive={patch_sizes: [8, 0], batch_sizes: [2, 1], iters: [2, 2]}": (
        "train:progressive:patch_sizes: is [8, 0]; expected a list of whole numbers from 1 to below 20000"
    ),
    "train:progressive={patch_sizes: [8, 13], batch_sizes: [2, 1], iters: [2, 2]}": (
        "train:progressive:patch_sizes: has 13, which is no multiple of scale 2; take one"
    ),
    "train:progressive={patch_sizes: '8', batch_sizes: [2, 1], iters: [2, 2]}": (
        "train:progressive:patch_sizes: is '8'; expected a list of whole numbers"
    ),
    "train:progressive={patch_sizes: [8, 8, 8, 8], batch_sizes: [2, 2, 2, 2], iters: [2, 2, 9, 1]}": (
        "train:progressive:iters: stages 3 to 4 begin after total_iter 4; shorten those before, or raise it"
    ),
    "train:progressive={patch_sizes: [8, 8], batch_sizes: [2, 2], iters: [4, 1]}": (
        "train:progressive:iters: stage 2 begins after total_iter 4; shorten those before, or raise it"
    ),
    # designs, and the stage they are for
    "network_g:attention=asa": "network_g:attention: attention: 'asa' is unknown (did you mean assa?)",
    "network_g:attention=[assa, assa]": "network_g:attention: attention: 2 designs for 1 stages; give one",
    f"network_g={STAGES % '{type: assa, window: 8}'}": (
        "network_g:attention: attention, stage 2: assa takes no 'window' (did you mean window_size?)"
    ),
    f"network_g={STAGES % '{type: assa, window_size: 0}'}": (
        "network_g:attention: attention, stage 2: assa: window_size=0 must be at least 1 pixel"
    ),
    # networks that fit nowhere
    "network_g:embed_dim=1000000": "network_g: holds more than 20,000,000,000 numbers; make the network",
    "network_g:embed_dim=99999999999999999999": "network_g:embed_dim: is 99999999999999999999; expected a",
    "network_g:window_size=10000": "network_g:window_size: window_size=10000: a window compares all its",
    "network_g:attention={type: assa, window_size: 100000}": (
        "network_g:attention: attention: assa: window_size=100000: every block holds a number per pair of"
    ),
    "network_g={type: SwinIR, upscale: 2, upsampler: pixelshuffle, depths: [1, 1], num_heads: [1]}": (
        "network_g: cannot be built:"
    ),
    # networks, batches and losses that no machine holds, or that lack a file
    "network_g={type: EDSR, num_in_ch: 3, num_out_ch: 3, upscale: 2, num_block: 1999999999}": (
        "network_g:num_block: num_block=1999999999 is absurdly large; take at most"
    ),
    "network_g={type: EDSR, num_in_ch: 3, num_out_ch: 3, upscale: 2, num_feat: 20000}": (
        "network_g: holds more than 20,000,000,000 numbers; make the network smaller: lower"
    ),
    "network_g:depths=[1999999999]": ("network_g:depths: depths=1999999999 is absurdly large; take at most"),
    "network_g={type: SpyNet, load_path: nowhere.pth}": (
        "network_g:load_path: cannot be built: nowhere.pth: No such file"
    ),
    "val:window_size=100000000": (
        "val:window_size: is 100000000; expected a whole number from 1 to below 1025"
    ),
    "datasets:train:num_worker_per_gpu=999": ("datasets:train:num_worker_per_gpu: 999 processes on"),
    "datasets:train:batch_size_per_gpu=1999999999": (
        "datasets:train:batch_size_per_gpu: 1,999,999,999 patches of 14x14 pixels take 4,704.0 GB"
    ),
    "train:perceptual_opt={type: PerceptualLoss, layer_weights: {conv5_9: 1.0}}": (
        "train:perceptual_opt: cannot work: layer_weights: conv5_9: 1.0; expected a layer of vgg19"
    ),
    "train:perceptual_opt={type: PerceptualLoss, layer_weights: {conv1_1: 1}, vgg_type: vgg9}": (
        "train:perceptual_opt: cannot work: vgg_type is 'vgg9'; expected one of vgg11"
    ),
    "train:perceptual_opt={type: PerceptualLoss, layer_weights: {conv1_1: 1}, criterion: l2}": (
        "train:perceptual_opt: cannot work: criterion is 'l2'; expected l1 or fro"
    ),
    # what is missing
    "-network_g": "network_g: is missing",
    "-model_type": "model_type: is missing",
    "-train": "train: is missing",
    "-datasets": "datasets: is missing",
    "-datasets:train": "datasets: has no block train",
    "-datasets:train:gt_size": "datasets:train:gt_size: is missing",
    "-train:optim_g:lr": "train:optim_g:lr: is missing",
    "-train:pixel_opt": "train:pixel_opt: is missing: there is no loss to train with",
    "datasets:train:dataroot_lq=''": "datasets:train:dataroot_lq: is missing",
    "datasets:train:dataroot_lq=none": "datasets:train:dataroot_lq: is missing",
    "datasets:train_2={type: PairedImageDataset}": "datasets:train_2: is not a phase; expected train, val or",
    # what lies on the disk
    "datasets:val:dataroot_gt=data/nowhere": "datasets:val:dataroot_gt: data/nowhere does not exist below",
    "datasets:train:dataroot_gt=data/train/gt/0.png": "datasets:train:dataroot_gt: data/train/gt/0.png is a",
    "datasets:train:filename_tmpl='{}x2'": "datasets:train: GT and LQ do not pair: dataroot_lq",
    "datasets:train:meta_info_file=data": "datasets:train:meta_info_file: data cannot be read",
    "datasets:train:io_backend={type: zip}": "datasets:train:io_backend: must be {type: disk} or {type:",
    "path:pretrain_network_g=nowhere.pth": "path:pretrain_network_g: no such file: nowhere.pth",
    "path:pretrain_network_g=data": "path:pretrain_network_g: no such file: data",
    "path:resume_state=nowhere.state": "path:resume_state: no such file: nowhere.state",
    # names that would lead elsewhere
    "name=../x": "name: is '../x'; expected a word that can name a folder: no slash, not only dots",
    "name=a/b": "name: is 'a/b'; expected a word that can name a folder",
    "datasets:val:name=..": "datasets:val:name: is '..'; expected a word that can name a folder",
    "val:suffix=/x": "val:suffix: is '/x'; expected a word that can name a folder",
    "name=com1.x": "name: is 'com1.x'; expected a word that can name a folder: Windows keeps this one for a",
    "name=' x'": "name: is ' x'; expected a word that can name a folder: no space at its ends",
    f"name={'ß' * 95}": f"name: is '{'ß' * 95}'; expected a word that can name a folder: at most 180 bytes",
    'name="a\\nb"': r"name: is 'a\nb'; expected a word that can name a folder: no slash, not only dots, no",
    # long values are cut
    f"scale={'x' * 500}": f"scale: is '{'x' * 199}...; expected a whole number",
    f"model_type={'x' * 500}": f"model_type: '{'x' * 60}...' is not known (is it in a plugin?",
    # the same again with other values
    "num_gpu=all": "num_gpu: is 'all'; expected a whole number of at least 0 or auto",
    "datasets:train:type=PairedDatasets": "datasets:train:type: 'PairedDatasets' is not known; did you",
    "datasets:train:gt_size=14.5": "datasets:train:gt_size: is 14.5; expected a whole number from 1 to",
    "network_g:depths=6": "network_g:depths: is 6; expected a list of whole numbers",
    "network_g:shift=both": "network_g:shift: is 'both'; expected one of alternate, per_stage, none",
    "network_g:attention={type: assa, window: 8}": "network_g:attention: attention: assa takes no 'window'",
    "network_g:attention=[{type: assa, window_size: '8'}]": "network_g:attention: attention, stage 1:",
    "train:progressive:patch_sizes=[8, 0]": "train:progressive:patch_sizes: is [8, 0]; expected a list of",
    "train:pixel_opt:reduction=none": "train:pixel_opt:reduction: is 'none'; expected one of mean, sum",
    "val:save_img='no'": "val:save_img: is 'no'; expected true or false",
    "datasets:train:batchsize_per_gpu=1": "datasets:train:batchsize_per_gpu: unknown key; did you mean",
    "train:ema_deca=1": "train:ema_deca: unknown key; did you mean 'ema_decay'?",
    "train:scheduler:milestone=1": "train:scheduler:milestone: unknown key; did you mean 'milestones'?",
    "logger:print_frq=1": "logger:print_frq: unknown key; did you mean 'print_freq'?",
    "-name": "name: is missing",
    "-datasets:train:dataroot_lq": "datasets:train:dataroot_lq: is missing",
    "datasets:train:prefetch_mode=gpu": "datasets:train:prefetch_mode: is 'gpu'; expected one of cpu, cuda",
    "datasets:trian={type: PairedImageDataset}": "datasets:trian: is not a phase; expected train, val or",
    "-network_g:type": "network_g:type: is missing; known are AST, BasicVSR, BasicVSRPlusPlus, DFDNet,",
    "network_g:depths=[2, '2']": "network_g:depths: is [2, '2']; expected a list of whole numbers",
    "network_g:window_size='8'": "network_g:window_size: is '8'; expected a whole number",
    "network_g:window_size=true": "network_g:window_size: is True; expected a whole number",
    "network_g:top_k=1.5": "network_g:top_k: is 1.5; expected a whole number or ~",
    "network_g:mlp_ratio=two": "network_g:mlp_ratio: is 'two'; expected a number",
    "network_g:window_size=0": "network_g:window_size: window_size=0 must be at least 1 pixel",
    "train:optim_g:lr=fast": "train:optim_g:lr: is 'fast'; expected a number from 0 to below 1e+09",
    "train:scheduler={type: MultiStepLR}": "train:scheduler:milestones: is missing; MultiStepLR needs it",
    "train:pixel_opt:type=L3Loss": "train:pixel_opt:type: 'L3Loss' is not known; did you mean 'L1Loss'?",
    "-train:total_iter": "train:total_iter: is missing",
    "-train:optim_g": "train:optim_g: is missing",
    "train:optim_g=3": "train:optim_g: must be a block of keys, the first of them type",
    "train:scheduler:type=[MultiStepLR]": "train:scheduler:type: '['MultiStepLR']' is not known; did you",
    "-train:scheduler": "train:scheduler: is missing",
    "-datasets:train:use_hflip": "datasets:train:use_hflip: is missing",
    "train:total_iter=.nan": "train:total_iter: is nan; expected a whole number of at least 1",
    "train:total_iter=1.5": "train:total_iter: is 1.5; expected a whole number of at least 1",
    "train:ema_decay=2": "train:ema_decay: is 2; expected a number from 0 to below 1",
    "datasets:train:batch_size_per_gpu=1.0e+99": "datasets:train:batch_size_per_gpu: is 1e+99; expected a",
    "manual_seed=-5": "manual_seed: is -5; expected a whole number of at least 0",
    "val:metrics:psnr:crop_border=-1": "val:metrics:psnr:crop_border: is -1; expected a whole number of at",
    "val:metrics:psnr:crop_border=200": "val:metrics:psnr: cannot work: gives nan",
    "val:metrics=[psnr]": "val:metrics: is ['psnr']; expected a block of keys",
    "train:optim_g:betas=3": "train:optim_g:betas: is 3; expected a list of 2 numbers",
    "train:optim_g:weight_decay=-1": "train:optim_g:weight_decay: is -1; expected a number of at least 0",
    "train:optim_g={lr: 1, type: LBFGS}": "train:optim_g: cannot work",
    "train:pixel_opt:reduction=foo": "train:pixel_opt:reduction: is 'foo'; expected one of mean, sum",
    "model_type=SRModel": "train:optim_g:type: is AdamW, but SRModel knows Adam only; model_type",
    "network_g:embed_dim=-6": "network_g:embed_dim: embed_dim=-6 must be at least 1",
    "logger:wandb={project: x}": "logger:wandb: needs the package wandb: pip install wandb, or set",
    "path={experiments_root: data}": "path:experiments_root: unknown key; known are",
}

# mistakes that a schema cannot see: they are in two keys, in arithmetic, in a network, or on the disk
BEYOND_EDITORS = {
    "val:metrics:image={type: psnr}",
    "manual_seed=99999999999",
    "datasets:train:dataset_enlarge_ratio=.nan",
    "train:optim_g:lr=.nan",
    "train:optim_g:betas=[2, 3]",
    "train:pixel_opt:loss_weight=.nan",
    "train:grad_clip=.inf",
    "datasets:train:gt_size=13",
    "network_g:upscale=3",
    "network_g:in_chans=1",
    "network_g:num_heads=[4]",
    "network_g:depths=[2, 2]",
    "network_g:top_k=26",
    "train:scheduler={type: CosineAnnealingRestartLR, periods: [2, 1]}",
    "train:optim_g:no_decay=['*.biass']",
    "datasets:train:mean=[0, 0, 0]",
    "datasets:train:prefetch_mode=cuda",
    "datasets:train:batch_size_per_gpu=6",
    "train:accumulate=3",
    "val=~",
    "train:progressive={patch_sizes: [8, 12], batch_sizes: [2, 1]}",
    "train:progressive={patch_sizes: [8, 12], batch_sizes: [2], iters: [2, 2]}",
    "train:progressive={patch_sizes: [8, 13], batch_sizes: [2, 1], iters: [2, 2]}",
    "train:progressive={patch_sizes: [8, 8, 8, 8], batch_sizes: [2, 2, 2, 2], iters: [2, 2, 9, 1]}",
    "train:progressive={patch_sizes: [8, 8], batch_sizes: [2, 2], iters: [4, 1]}",
    "network_g:attention=[assa, assa]",
    f"network_g={STAGES % '{type: assa, window_size: 0}'}",
    "network_g:embed_dim=1000000",
    "network_g:embed_dim=99999999999999999999",
    "network_g:window_size=10000",
    "network_g:attention={type: assa, window_size: 100000}",
    "network_g={type: SwinIR, upscale: 2, upsampler: pixelshuffle, depths: [1, 1], num_heads: [1]}",
    "network_g={type: EDSR, num_in_ch: 3, num_out_ch: 3, upscale: 2, num_block: 1999999999}",
    "network_g={type: EDSR, num_in_ch: 3, num_out_ch: 3, upscale: 2, num_feat: 20000}",
    "network_g:depths=[1999999999]",
    "network_g={type: SpyNet, load_path: nowhere.pth}",
    "datasets:train:num_worker_per_gpu=999",
    "datasets:train:batch_size_per_gpu=1999999999",
    "train:perceptual_opt={type: PerceptualLoss, layer_weights: {conv5_9: 1.0}}",
    "train:perceptual_opt={type: PerceptualLoss, layer_weights: {conv1_1: 1}, vgg_type: vgg9}",
    "train:perceptual_opt={type: PerceptualLoss, layer_weights: {conv1_1: 1}, criterion: l2}",
    "-train",
    "-datasets:train",
    "-datasets:train:gt_size",
    "-train:pixel_opt",
    "datasets:train:dataroot_lq=''",
    "datasets:train:dataroot_lq=none",
    "datasets:val:dataroot_gt=data/nowhere",
    "datasets:train:dataroot_gt=data/train/gt/0.png",
    "datasets:train:filename_tmpl='{}x2'",
    "datasets:train:meta_info_file=data",
    "path:pretrain_network_g=nowhere.pth",
    "path:pretrain_network_g=data",
    "path:resume_state=nowhere.state",
    "name=../x",
    "name=a/b",
    "datasets:val:name=..",
    "val:suffix=/x",
    "name=com1.x",
    "name=' x'",
    f"name={'ß' * 95}",
    'name="a\\nb"',
    "network_g:window_size=0",
    "-train:total_iter",
    "-train:optim_g",
    "-train:scheduler",
    "-datasets:train:use_hflip",
    "datasets:train:batch_size_per_gpu=1.0e+99",
    "val:metrics:psnr:crop_border=200",
    "train:optim_g={lr: 1, type: LBFGS}",
    "model_type=SRModel",
    "network_g:embed_dim=-6",
    "logger:wandb={project: x}",
}


def changed(options, change):
    """The options with one KEY:KEY=VALUE, or without one -KEY:KEY."""
    options = copy.deepcopy(options)
    path, _, value = change.partition("=")
    *blocks, last = path.removeprefix("-").split(":")
    block = options
    for key in blocks:
        block = block.setdefault(key, {})
    if change.startswith("-"):
        del block[last]
    else:
        block[last] = yaml.safe_load(value)
    return options
